// @ts-check
// The topics page: the feed's frames go into the tree and the detail pane, what
// the person does goes back.

import { FeedSocket } from './socket.js';
import { MAX_ROWS, TopicTree } from './topic-tree.js';
import { VirtualTree } from './virtual-tree.js';
import { TopicDetail, topicCount } from './topic-detail.js';
import { count, plural } from './format.js';
import { topicActions } from './topic-actions.js';
import { base64url, fromBase64url } from './post.js';

/**
 * @typedef {import('./socket.js').Frame} Frame
 * @typedef {import('./topic-tree.js').TopicNode} TopicNode
 */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const base = document.body.dataset.base ?? '';
const page = byId('topics');
const filterInput = /** @type {HTMLInputElement} */ (byId('topics-filter'));
const tree = new TopicTree();
const view = new VirtualTree(byId('topics-tree'), tree);
const detail = new TopicDetail(base);

/** What the page is busy with; read by the browser tests. */
const state = { live: false, complete: false, liveAt: 0, shownAt: 0, loadedAt: 0, filter: '', regexp: false, filterDone: true, paused: false, problem: '' };

/** @type {import('./socket.js').State} */ let connection = 'connecting';
/** @type {Frame['totals']} */ let totals;
/** @type {{open: string[][], selected: string[] | null} | null} */ let remembered = null;

const socket = new FeedSocket(`${base}/ws`, take, (s) => {
  connection = s;
  state.live = s === 'live';
  page.dataset.state = s;
  if (s === 'live') {
    state.liveAt ||= performance.now();
    state.complete = false;
    if (state.paused) socket.send({ pause: true });
    if (state.filter) ask();
  }
  status();
});

view.onVisible = (ids) => socket.send({ view: ids });
view.onSelect = choose;
detail.onClose = () => {
  view.select(null);
  socket.send({ select: 0 });
  detail.close();
  history.replaceState(null, '', location.pathname);
  byId('topics-tree').focus();
};
detail.onTopic = (topic) => {
  history.replaceState(null, '', `${location.pathname}#t=${base64url(topic)}`);
  suggest(topic);
};
detail.onForm = (form) => socket.send({ form });

/** Asks the server for what the filter finds. */
function ask() {
  socket.send(state.regexp ? { regexp: state.filter } : { filter: state.filter });
}

function take(/** @type {Frame} */ f) {
  let shape = false;
  if (f.reset) {
    remembered ??= { open: tree.openPaths(), selected: view.selected?.path() ?? null };
    tree.reset();
    view.select(null);
    view.active = null;
    state.complete = false;
    shape = true;
  }
  if (f.tree) {
    tree.add(f.tree);
    shape = true;
  }
  if (f.del) {
    if (view.selected && f.del.includes(view.selected.id)) {
      view.select(null);
      detail.gone();
    }
    tree.remove(f.del);
    shape = true;
  }
  if (shape && !f.more) {
    state.complete = true;
    state.loadedAt ||= performance.now();
    restore();
  }
  if (f.match) {
    takeMatch(f.match);
    shape = true;
  }
  if (f.val) takeValues(f.val);
  if (f.detail && f.detail.id === view.selected?.id) detail.show(f.detail);
  if (f.rate !== undefined) detail.rate(f.rate);
  if (f.totals) totals = f.totals;
  if (shape) {
    state.shownAt ||= performance.now();
    view.draw();
  }
  if (shape || f.totals) status();
}

function takeValues(/** @type {NonNullable<Frame['val']>} */ values) {
  const now = performance.now();
  for (const [id, text, n, age, retained, rate] of values) {
    const node = tree.nodes.get(id);
    if (!node) continue;
    const news = node.value !== null && node.value.count !== n;
    node.value = { text, count: n, at: now - age, retained: retained === 1, rate };
    view.changed(node, news);
  }
}

function takeMatch(/** @type {NonNullable<Frame['match']>} */ m) {
  if (m.filter !== state.filter) return; // of an earlier question
  state.problem = m.problem ?? '';
  if (m.first) tree.filter(new Set());
  tree.match(m.ids);
  state.filterDone = m.done === 1;
  if (m.first) byId('topics-tree').scrollTop = 0;
}

/** The topic that the address of the page names, in base64url behind the #. */
function linked() {
  const code = new URLSearchParams(location.hash.slice(1)).get('t');
  return code === null ? null : fromBase64url(code);
}

/** Opens the topic that the address of the page names. */
function follow() {
  const topic = linked();
  if (topic === null || view.selected?.path().join('/') === topic) return;
  const node = tree.find(topic.split('/'));
  if (!node) {
    state.problem = 'The topic of this link is not known (any more).';
    status();
    return;
  }
  if (topic.startsWith('$') && !tree.showSys) byId('topics-sys').click();
  unfold(node);
  view.select(node);
  choose(node);
}

/** After a new tree: what was open is open again, by names; ids may be others. */
function restore() {
  if (!remembered) return;
  const first = remembered.open.length === 0 && !remembered.selected;
  if (first) follow();
  const { open, selected } = remembered;
  remembered = null;
  for (const path of open) {
    const node = tree.find(path);
    if (node) node.open = true;
  }
  const node = selected && tree.find(selected);
  if (node) {
    view.select(node);
    socket.send({ select: node.id });
  }
  view.draw();
  view.announce();
}

function choose(/** @type {TopicNode} */ node) {
  detail.expect(node.path().join('/'));
  socket.send({ select: node.id });
}

function status() {
  const words = [];
  const list = tree.rows();
  const empty = state.complete && list.length === 0;
  if (connection === 'login') words.push('Your login has ended. Reload the page to log in again.');
  else if (connection === 'full') words.push('Too many browsers are looking at the topics. Trying again…');
  else if (connection === 'lost') words.push('Connection lost. Trying again…');
  else if (connection === 'connecting' || !state.complete) words.push('Loading topics…');
  else {
    if (state.paused) words.push('Paused');
    if (state.problem) words.push(state.regexp && state.filter ? `Not a regular expression: ${state.problem}` : state.problem);
    else if (tree.matches) words.push(`${topicCount(tree.matches.size)} of ${count(tree.topics)} match`);
  }
  // Apart, as it is no news for those who listen: a screen reader would never stop.
  const rest = [];
  if (!tree.matches && state.complete) rest.push(topicCount(tree.topics));
  if (tree.capped) rest.push(`the first ${count(MAX_ROWS)} rows are listed`);
  if (totals?.evicted) rest.push(`${plural(totals.evicted, 'quiet topic', 'quiet topics')} forgotten to make room`);
  if (totals?.unseen) rest.push(`no room for ${plural(totals.unseen, 'message', 'messages')} of other topics`);
  say('topics-status', words.join(' · '));
  say('topics-count', (words.length && rest.length ? '· ' : '') + rest.join(' · '));
  byId('topics-empty').hidden = !empty;
  if (empty) {
    byId('topics-empty-title').textContent = tree.matches ? 'Nothing matches' : 'No topics yet';
    byId('topics-empty-text').textContent = tree.matches
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
      state.filterDone = text === '';
      ask();
      if (text === '') {
        tree.filter(null);
        if (view.selected) unfold(view.selected);
        view.draw();
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
    tree.closeAll();
    view.active = null;
    byId('topics-tree').scrollTop = 0;
    view.draw();
  });
  const sys = byId('topics-sys');
  sys.addEventListener('click', () => {
    tree.setShowSys(!tree.showSys);
    sys.setAttribute('aria-pressed', String(tree.showSys));
    view.draw();
    status();
  });
}

/** Opens the folders above a topic, so that it stays in sight. */
function unfold(/** @type {TopicNode} */ node) {
  for (let n = node.parent; n; n = n.parent) tree.setOpen(n, true);
  view.reveal(node);
}

addEventListener('hashchange', follow);
toolbar();
const suggest = topicActions(base, detail);
status();

// A hidden page needs no values; it gets the latest when it is looked at again.
document.addEventListener('visibilitychange', () => {
  if (!state.paused) socket.send({ pause: document.hidden });
});

Object.assign(page, { hearthmq: { state, tree, view, socket, detail } });
