// @ts-check
// Clearing a retained message and publishing one. Topics go in the body, never
// in the URL.

import { visible } from './format.js';

const byId = (/** @type {string} */ id) => document.getElementById(id);

/** Posts JSON. @returns {Promise<string>} what went wrong, for people; '' is success */
async function post(/** @type {string} */ url, /** @type {object} */ body) {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error', // to the login page: there is no login any more
    });
    if (answer.ok) return '';
    const kind = answer.headers.get('Content-Type') ?? '';
    if (kind.startsWith('application/json')) return (await answer.json()).error;
    return `The server answered ${answer.status}.`;
  } catch {
    return 'The server did not answer. If your login has ended, reload the page.';
  }
}

/** @param {string} base @param {import('./topic-detail.js').TopicDetail} detail */
export function topicActions(base, detail) {
  clearing(base, detail);
  publishing(base, detail);
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
    const wrong = await post(`${base}/topics/clear`, { topic });
    confirm.disabled = false;
    problem.textContent = wrong;
    problem.hidden = wrong === '';
    if (wrong === '') dialog.close();
  });
}

function publishing(/** @type {string} */ base, /** @type {import('./topic-detail.js').TopicDetail} */ detail) {
  const box = byId('publish');
  const form = byId('publish-form');
  const topic = byId('publish-topic');
  const result = byId('publish-result');
  if (!(box instanceof HTMLDetailsElement) || !(form instanceof HTMLFormElement) || !(topic instanceof HTMLInputElement) || !result) return;
  let suggested = '';
  detail.onTopic = (path) => {
    // An input is one line: topics that do not fit in are left for the person to type.
    if (/[\r\n]/.test(path)) return;
    if (topic.value === '' || topic.value === suggested) topic.value = suggested = path;
    result.textContent = '';
  };
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const data = new FormData(form);
    const wrong = await post(`${base}/topics/publish`, {
      topic: topic.value,
      payload: String(data.get('payload') ?? '').replace(/\r\n/g, '\n'),
      qos: Number(data.get('qos')),
      retain: data.get('retain') !== null,
    });
    result.textContent = wrong || 'Published.';
    result.classList.toggle('is-problem', wrong !== '');
  });
}
