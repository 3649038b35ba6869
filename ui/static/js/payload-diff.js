// @ts-check
// The difference between two payloads, line by line. JSON is laid out first, so
// that a changed member is a changed line.

import { parseJSON } from './json-text.js';
import { count, visible, visibleText } from './format.js';
import { hexDump } from './payload-view.js';

/**
 * @typedef {import('./payload-view.js').Payload} Payload
 * @typedef {{kind: 'same' | 'old' | 'new' | 'gap', text: string}} DiffLine
 */

const MAX_CELLS = 4_000_000; // of the comparison's table
const CONTEXT = 3; // equal lines shown around a difference
const MAX_LINES = 3000; // drawn

/** Lays JSON out over lines. @returns {string[]} */
function layOut(/** @type {import('./json-text.js').Json} */ v, indent = '', before = '', after = '') {
  if (!('items' in v)) return [indent + before + (v.type === 'string' ? JSON.stringify(v.text) : v.text) + after];
  const [open, close] = v.type === 'object' ? ['{', '}'] : ['[', ']'];
  if (v.items.length === 0) return [indent + before + open + close + after];
  const lines = [indent + before + open];
  v.items.forEach((m, i) => {
    const comma = i < v.items.length - 1 ? ',' : '';
    lines.push(...layOut(m.value, `${indent}  `, v.type === 'object' ? `${JSON.stringify(m.key)}: ` : '', comma));
  });
  lines.push(indent + close + after);
  return lines;
}

/** The lines that a payload is compared by. @returns {string[]} */
export function linesOf(/** @type {Payload} */ p, /** @type {boolean} */ binary) {
  if (binary) return hexDump(p.bytes()).split('\n');
  const v = parseJSON(p.text);
  return v && 'items' in v ? layOut(v) : visibleText(p.text).split('\n');
}

/** @returns {DiffLine[]} */
export function diffLines(/** @type {string[]} */ a, /** @type {string[]} */ b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  /** @type {DiffLine[]} */ const out = a.slice(0, start).map((text) => ({ kind: 'same', text }));
  out.push(...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)));
  for (const text of a.slice(a.length - end)) out.push({ kind: 'same', text });
  return out;
}

/** The longest common lines stay, the others are old or new. @returns {DiffLine[]} */
function middle(/** @type {string[]} */ a, /** @type {string[]} */ b) {
  const all = (/** @type {string[]} */ list, /** @type {'old' | 'new'} */ kind) => list.map((text) => ({ kind, text }));
  if (a.length === 0 || b.length === 0 || a.length * b.length > MAX_CELLS) return [...all(a, 'old'), ...all(b, 'new')];
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  /** @type {DiffLine[]} */ const out = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: 'same', text: a[i++] });
      j++;
    } else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) out.push({ kind: 'old', text: a[i++] });
    else out.push({ kind: 'new', text: b[j++] });
  }
  return [...out, ...all(a.slice(i), 'old'), ...all(b.slice(j), 'new')];
}

/** Leaves out equal lines that are far from a difference. @returns {DiffLine[]} */
export function fold(/** @type {DiffLine[]} */ lines) {
  const near = lines.map(() => false);
  lines.forEach((l, i) => {
    if (l.kind === 'same') return;
    for (let k = Math.max(0, i - CONTEXT); k <= Math.min(lines.length - 1, i + CONTEXT); k++) near[k] = true;
  });
  /** @type {DiffLine[]} */ const out = [];
  for (let i = 0; i < lines.length; i++) {
    if (near[i]) {
      out.push(lines[i]);
      continue;
    }
    let n = i;
    while (n < lines.length && !near[n]) n++;
    if (n - i === 1) out.push(lines[i]);
    else out.push({ kind: 'gap', text: `${count(n - i)} equal lines` });
    i = n - 1;
  }
  return out;
}

const SIGNS = { same: ' ', old: '−', new: '+', gap: '' };
const NAMES = { same: '', old: 'removed: ', new: 'added: ', gap: '' };

/** Shows the difference of two payloads in an element. */
export function showDiff(/** @type {HTMLElement} */ into, /** @type {Payload} */ a, /** @type {Payload} */ b, /** @type {boolean} */ binary) {
  const lines = diffLines(linesOf(a, binary), linesOf(b, binary));
  const box = document.createElement('div');
  box.className = 'diff';
  if (lines.every((l) => l.kind === 'same')) {
    const same = document.createElement('p');
    same.className = 'diff-note';
    same.textContent = 'Both are the same.';
    box.append(same);
  }
  const shown = fold(lines);
  for (const l of shown.slice(0, MAX_LINES)) {
    const row = document.createElement('div');
    row.className = `diff-line diff-${l.kind}`;
    const sign = document.createElement('span');
    sign.className = 'diff-sign';
    sign.setAttribute('aria-hidden', 'true');
    sign.textContent = SIGNS[l.kind];
    const name = document.createElement('span');
    name.className = 'visually-hidden';
    name.textContent = NAMES[l.kind];
    const text = document.createElement('span');
    text.className = 'diff-text';
    text.textContent = visible(l.text);
    row.append(sign, name, text);
    box.append(row);
  }
  if (shown.length > MAX_LINES) {
    const rest = document.createElement('p');
    rest.className = 'diff-note';
    rest.textContent = `and ${count(shown.length - MAX_LINES)} more lines`;
    box.append(rest);
  }
  into.replaceChildren(box);
}
