// @ts-check
// Clearing a retained message and publishing one. Topics go in the body, never
// in the URL.

import { visible } from './format.js';
import { post } from './post.js';
import { payloadOf, toBase64 } from './payload-view.js';

const byId = (/** @type {string} */ id) => document.getElementById(id);

/**
 * @param {string} base @param {import('./topic-detail.js').TopicDetail} detail
 * @returns {(topic: string) => void} suggests a topic to publish to
 */
export function topicActions(base, detail) {
  clearing(base, detail);
  return publishing(base, detail);
}

function clearing(/** @type {string} */ base, /** @type {import('./topic-detail.js').TopicDetail} */ detail) {
  const opener = byId('detail-clear');
  const dialog = byId('clear-dialog');
  const problem = byId('clear-problem');
  const name = byId('clear-topic');
  const confirm = byId('clear-confirm');
  if (!opener || !(dialog instanceof HTMLDialogElement) || !problem || !name || !(confirm instanceof HTMLButtonElement)) return;
  let topic = '';
  opener.addEventListener('click', () => {
    topic = detail.topic; // the one that is named, whatever is selected later
    name.textContent = visible(topic);
    problem.hidden = true;
    dialog.showModal();
  });
  byId('clear-cancel')?.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (e) => { if (e.target === dialog) dialog.close(); });
  confirm.addEventListener('click', async () => {
    confirm.disabled = true;
    const { error: wrong } = await post(`${base}/topics/clear`, { topic });
    confirm.disabled = false;
    problem.textContent = wrong;
    problem.hidden = wrong === '';
    if (wrong === '') dialog.close();
  });
}

function publishing(/** @type {string} */ base, /** @type {import('./topic-detail.js').TopicDetail} */ detail) {
  const box = byId('publish');
  box.hidden = false; // it works by this script alone
  const form = byId('publish-form');
  const topic = byId('publish-topic');
  const result = byId('publish-result');
  if (!(box instanceof HTMLDetailsElement) || !(form instanceof HTMLFormElement) || !(topic instanceof HTMLInputElement) || !result) return () => {};
  let suggested = '';
  const suggest = (/** @type {string} */ path) => {
    // An input is one line: topics that do not fit in are left for the person to type.
    if (/[\r\n]/.test(path)) return;
    if (topic.value === '' || topic.value === suggested) topic.value = suggested = path;
    result.textContent = '';
  };
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const data = new FormData(form);
    const text = (/** @type {string} */ name) => String(data.get(name) ?? '');
    const { error: wrong } = await post(`${base}/topics/publish`, {
      topic: topic.value,
      payload: text('payload').replace(/\r\n/g, '\n'),
      encoding: text('encoding'),
      qos: Number(data.get('qos')),
      retain: data.get('retain') !== null,
      properties: {
        contentType: text('contentType'),
        responseTopic: text('responseTopic'),
        correlation: text('correlation'),
        isText: data.get('isText') !== null,
        expiry: Number(text('expiry')) || 0,
        user: text('user').split(/\r?\n/).filter((l) => l.includes(':')).map((l) => {
          const at = l.indexOf(':');
          return [l.slice(0, at).trim(), l.slice(at + 1).trim()];
        }),
      },
    });
    result.textContent = wrong || 'Published.';
    result.classList.toggle('is-problem', wrong !== '');
  });

  // Send again: the form with the value that is shown.
  byId('detail-resend')?.addEventListener('click', () => {
    const d = detail.current;
    if (!d || d.value === undefined) return;
    box.open = true;
    const set = (/** @type {string} */ name, /** @type {string} */ value) => {
      const field = form.elements.namedItem(name);
      if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement) field.value = value;
    };
    const p = payloadOf(d.value);
    topic.value = suggested = detail.topic;
    set('encoding', d.kind === 'binary' ? 'base64' : 'text');
    set('payload', d.kind === 'binary' ? toBase64(p.bytes()) : p.text);
    set('qos', String(d.qos));
    const retain = form.elements.namedItem('retain');
    if (retain instanceof HTMLInputElement) retain.checked = d.retained === 1;
    result.textContent = d.kept < d.size ? 'Only the beginning of the value is here: show all of it first.' : '';
    result.classList.toggle('is-problem', d.kept < d.size);
    box.scrollIntoView({ block: 'nearest' });
    form.querySelector('textarea')?.focus();
  });
  return suggest;
}
