// @ts-check
// Who sent a topic's messages, who is subscribed to it, and who may subscribe
// and publish to it, with the rule that says so.

import { ago, count, plural, visible } from './format.js';

/**
 * @typedef {{client: string, user: string, count: number, age: number, here: boolean}} Publisher
 * @typedef {{client: string, user: string, here: boolean, filter: string, qos: number, receives: boolean, why: string}} Subscriber
 * @typedef {{ok: boolean, why: string}} Verdict
 * @typedef {{user: string, read: Verdict, write: Verdict}} Rights
 * @typedef {{publishers: Publisher[], subscribers: Subscriber[], rights: Rights[], more_subscribers: number, more_rights: number}} Who
 */

function el(/** @type {string} */ tag, /** @type {string} */ cls, /** @type {(Node | string)[]} */ ...inside) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...inside);
  return e;
}

function name(/** @type {string} */ client, /** @type {string} */ user) {
  const b = document.createElement('bdi');
  b.textContent = visible(client) || 'HearthMQ';
  const parts = [el('strong', '', b)];
  if (user) {
    const u = document.createElement('bdi');
    u.textContent = visible(user);
    parts.push(el('span', 'muted', ' user ', u));
  } else if (client) parts.push(el('span', 'muted', ' anonymous'));
  return parts;
}

function section(/** @type {string} */ title, /** @type {Node[]} */ rows, /** @type {string} */ none, /** @type {number} */ more) {
  const list = el('ul', 'who-list', ...rows);
  const s = el('section', 'who', el('h3', 'detail-label', title), rows.length ? list : el('p', 'muted', none));
  if (more > 0) s.append(el('p', 'muted small', `and ${plural(more, 'more', 'more')}`));
  return s;
}

function verdict(/** @type {string} */ label, /** @type {Verdict} */ v) {
  const badge = el('span', v.ok ? 'badge badge-success' : 'badge badge-neutral', `${label}: ${v.ok ? 'yes' : 'no'}`);
  return el('span', 'who-verdict', badge, el('span', 'muted small', ` ${visible(v.why)}`));
}

/** Shows all of it in an element. */
export function showWho(/** @type {HTMLElement} */ into, /** @type {Who} */ w) {
  const publishers = w.publishers.map((p) => el('li', '', el('p', '', ...name(p.client, p.user)),
    el('p', 'muted small', `${plural(p.count, 'message', 'messages')} of those that are kept, the last ${ago(p.age)}`,
      p.client && !p.here ? ' · not connected now' : '')));
  const subscribers = w.subscribers.map((s) => {
    const filter = document.createElement('bdi');
    filter.textContent = visible(s.filter);
    const line = el('p', 'muted small', 'by ', el('code', '', filter), ` · QoS ${s.qos}`, s.here ? '' : ' · away');
    const li = el('li', '', el('p', '', ...name(s.client, s.user)), line);
    if (!s.receives) li.append(el('p', 'warn small', `Gets nothing of it: ${visible(s.why)}`));
    return li;
  });
  const rights = w.rights.map((r) => {
    const b = document.createElement('bdi');
    b.textContent = visible(r.user);
    return el('li', '', el('p', '', el('strong', '', b)), verdict('Subscribe', r.read), verdict('Publish', r.write));
  });
  into.replaceChildren(
    section('Sent by', publishers, 'Nobody since HearthMQ started.', 0),
    section(`Subscribed${w.subscribers.length ? ` (${count(w.subscribers.length + w.more_subscribers)})` : ''}`, subscribers, 'Nobody is subscribed.', w.more_subscribers),
    section('Who may', rights, 'There are no users yet.', w.more_rights),
  );
}
