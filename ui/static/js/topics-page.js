// @ts-check
// The topics page: the feed's frames go into the tree and the detail pane, what
// the person does goes back.

import { FeedSocket } from './socket.js';
import { TopicRows } from './topic-rows.js';
import { VirtualTree } from './virtual-tree.js';
import { TopicDetail, topicCount } from './topic-detail.js';
import { count, plural } from './format.js';
import { topicActions } from './topic-actions.js';
import { base64url, fromBase64url } from './post.js';

/**
 * @typedef {import('./socket.js').Frame} Frame
 * @typedef {import('./topic-rows.js').TopicRow} TopicRow
 */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const base = document.body.dataset.base ?? '';
const page = byId('topics');
const filterInput = /** @type {HTMLInputElement} */ (byId('topics-filter'));
const rows = new TopicRows();
const view = new VirtualTree(byId('topics-tree'), rows);
const detail = new TopicDetail(base);

/** What the page is busy with; read by the browser tests. */
const state = { live: false, complete: false, liveAt: 0, shownAt: 0, filter: '', regexp: false, matches: -1, sys: false, paused: false, problem: '' };

/** @type {import('./socket.js').State} */ let connection = 'connecting';
/** @type {Frame['totals']} */ let totals;
let following = false; // the address of the page names the topic that was asked for

const socket = new FeedSocket(`${base}/ws`, take, (s) => {
  connection = s;
  state.live = s === 'live';
  page.dataset.state = s;
  if (s === 'live') {
    state.liveAt ||= performance.now();
    state.complete = false;
    begin();
  }
  status();
});

/** A new connection knows nothing of the page: ids may be others, topics are not. */
function begin() {
  const again = rows.reopen();
  rows.opened.clear();
  rows.reset();
  socket.send({ sys: state.sys, ...(again.length ? { reopen: again } : {}), ...(state.paused ? { pause: true } : {}) });
  if (state.filter) ask();
  if (view.selected) socket.send({ go: { topic: detail.topic, reveal: false } });
  else follow();
  view.active = { index: -1, id: 0 };
  view.forget();
}

view.onWindow = (from, n) => socket.send({ view: [from, n] });
view.onSelect = choose;
view.onFold = (row, open) => {
  if (!open) rows.opened.delete(row.id);
  socket.send(open ? { open: row.id } : { close: row.id });
};
view.onSeek = (text, from) => socket.send({ seek: { text, from } });
detail.onClose = () => {
  view.select(0);
  socket.send({ select: 0 });
  detail.close();
  history.replaceState(null, '', location.pathname);
  byId('topics-tree').focus();
};
detail.onTopic = (topic) => {
  history.replaceState(null, '', `${location.pathname}#t=${base64url(topic)}`);
  suggest(topic);
};
detail.onOnly = (filter) => {
  if (state.regexp) byId('topics-regexp').click();
  filterInput.value = filter;
  filterInput.dispatchEvent(new Event('input'));
  filterInput.focus();
};
detail.onForm = (form) => socket.send({ form });

/** Asks the server for what the filter finds. */
function ask() {
  socket.send(state.regexp ? { regexp: state.filter } : { filter: state.filter });
}

function take(/** @type {Frame} */ f) {
  if (f.hello) view.visible = f.hello.visible;
  for (const [id, topic] of f.opened ?? []) rows.opened.set(id, topic);
  if (f.list) {
    rows.take(f.list);
    state.complete = true;
    state.shownAt ||= performance.now();
    view.update();
  }
  if (f.gone) {
    view.select(0);
    detail.gone();
  }
  if (f.match && f.match.filter === state.filter) { // else of an earlier question
    if (state.matches < 0) byId('topics-tree').scrollTop = 0;
    state.problem = f.match.problem ?? '';
    state.matches = f.match.problem ? -1 : f.match.count;
  }
  if (f.at) arrive(f.at);
  if (f.val) takeValues(f.val);
  if (f.detail && f.detail.id === view.selected) detail.show(f.detail);
  const chosen = view.selected ? rows.byID(view.selected) : null;
  if (chosen && (f.detail || f.list)) detail.below(chosen.folder ? chosen.count : 0);
  if (f.rate !== undefined) detail.rate(f.rate);
  if (f.totals) totals = f.totals;
  if (f.list || f.match || f.totals) status();
}

function takeValues(/** @type {NonNullable<Frame['val']>} */ values) {
  const now = performance.now();
  for (const [id, text, n, age, retained, rate] of values) {
    const row = rows.byID(id);
    if (!row) continue;
    const news = row.value !== null && row.value.count !== n;
    row.value = { text, count: n, at: now - age, retained: retained === 1, rate };
    view.changed(row, news);
  }
}

/** A row that was asked for is found, or it is not. */
function arrive(/** @type {NonNullable<Frame['at']>} */ [index, id, chosen, reveal]) {
  if (chosen && id) view.select(id, index);
  if (chosen && !id) {
    view.select(0);
    if (following) {
      detail.close();
      state.problem = 'The topic of this link is not known (any more).';
      status();
    } else {
      detail.gone();
    }
  }
  if (chosen) following = false;
  if (reveal && index >= 0) view.go(index, id);
}

/** The topic that the address of the page names, in base64url behind the #, or where the page without a script has it. */
function linked() {
  const code = new URLSearchParams(location.hash.slice(1)).get('t') ?? new URLSearchParams(location.search).get('t');
  return code === null ? null : fromBase64url(code);
}

/** Opens the topic that the address of the page names. */
function follow() {
  const topic = linked();
  if (topic === null || view.selected && detail.topic === topic) return;
  if (topic.startsWith('$') && !state.sys) byId('topics-sys').click();
  following = true;
  show(topic);
}

/** Selects a topic and goes there. */
function show(/** @type {string} */ topic) {
  detail.expect(topic);
  socket.send({ go: { topic, reveal: true } });
}

function choose(/** @type {TopicRow} */ row) {
  detail.expect(rows.path(row));
  socket.send({ select: row.id });
}

function status() {
  const words = [];
  const filtered = state.filter !== '' && state.matches >= 0;
  const empty = state.complete && rows.all === 0;
  if (connection === 'login') words.push('Your login has ended. Reload the page to log in again.');
  else if (connection === 'full') words.push('Too many browsers are looking at the topics. Trying again…');
  else if (connection === 'lost') words.push('Connection lost. Trying again…');
  else if (connection === 'connecting' || !state.complete) words.push('Loading topics…');
  else {
    if (state.paused) words.push('Paused');
    if (state.problem) words.push(state.regexp && state.filter ? `Not a regular expression: ${state.problem}` : state.problem);
    else if (filtered) words.push(`${topicCount(state.matches)} of ${count(rows.topics)} match`);
  }
  // Apart, as it is no news for those who listen: a screen reader would never stop.
  const rest = [];
  if (!filtered && state.complete) rest.push(topicCount(rows.topics));
  if (totals?.evicted) rest.push(`${plural(totals.evicted, 'quiet topic', 'quiet topics')} forgotten to make room`);
  if (totals?.unseen) rest.push(`no room for ${plural(totals.unseen, 'message', 'messages')} of other topics`);
  say('topics-status', words.join(' · '));
  say('topics-count', (words.length && rest.length ? '· ' : '') + rest.join(' · '));
  byId('topics-empty').hidden = !empty;
  if (empty) {
    byId('topics-empty-title').textContent = filtered ? 'Nothing matches' : 'No topics yet';
    byId('topics-empty-text').textContent = filtered
      ? 'No topic and no last value contains this. With + or # it is an MQTT topic filter.'
      : 'As soon as a device publishes something it appears here.';
  }
}

function say(/** @type {string} */ id, /** @type {string} */ text) {
  const el = byId(id);
  if (el.textContent !== text) el.textContent = text;
}

function toolbar() {
  byId('topics-bar').hidden = false;
  let typing = 0;
  filterInput.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const text = filterInput.value.trim();
      if (text === state.filter) return;
      state.filter = text;
      state.problem = '';
      state.matches = -1;
      ask();
      if (text === '') {
        if (view.selected) socket.send({ reveal: true });
        status();
      }
    }, 150);
  });
  filterInput.addEventListener('keydown', (e) => {
    if (e.key === 'ArrowDown') {
      e.preventDefault();
      byId('topics-tree').focus();
    }
  });

  const regexp = byId('topics-regexp');
  regexp.addEventListener('click', () => {
    state.regexp = !state.regexp;
    state.problem = '';
    state.matches = -1;
    regexp.setAttribute('aria-pressed', String(state.regexp));
    filterInput.placeholder = state.regexp ? 'temp.*[0-9]+$ in topics and values' : 'Find in topics and values, or home/+/state';
    if (state.filter) ask();
    filterInput.focus();
  });

  const pause = byId('topics-pause');
  pause.addEventListener('click', () => {
    state.paused = !state.paused;
    pause.setAttribute('aria-pressed', String(state.paused));
    pause.setAttribute('aria-label', state.paused ? 'Continue' : 'Pause');
    page.classList.toggle('is-paused', state.paused);
    socket.send({ pause: state.paused });
    status();
  });
  byId('topics-collapse').addEventListener('click', () => {
    rows.opened.clear();
    socket.send({ fold: true });
    view.active = { index: -1, id: 0 };
    byId('topics-tree').scrollTop = 0;
    view.draw();
  });
  const sys = byId('topics-sys');
  sys.addEventListener('click', () => {
    state.sys = !state.sys;
    sys.setAttribute('aria-pressed', String(state.sys));
    socket.send({ sys: state.sys });
  });
}

// What the page was without this script.
if (byId('detail-static')) {
  byId('detail-static').remove();
  byId('topics-detail').classList.remove('is-open');
  byId('detail-none').hidden = false;
}

addEventListener('hashchange', follow);
toolbar();
const suggest = topicActions(base, detail);
status();

// A hidden page needs no values; it gets the latest when it is looked at again.
document.addEventListener('visibilitychange', () => {
  if (!state.paused) socket.send({ pause: document.hidden });
});

Object.assign(page, { hearthmq: { state, rows, view, socket, detail, show } });
