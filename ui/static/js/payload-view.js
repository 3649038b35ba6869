// @ts-check
// Shows a payload: as a tree of JSON, as text, or byte by byte. Whatever is in
// it ends in textContent.

import { parseJSON } from './json-text.js';
import { bytes as size, count, visible, visibleText } from './format.js';

const HEX_BYTES = 16 << 10; // more is for a download, not for reading
const MEMBERS = 500; // of one object or list
const OPEN_VALUES = 60; // larger ones begin closed below the second level

/**
 * @typedef {import('./json-text.js').Json} Json
 * @typedef {import('./json-text.js').Branch} Branch
 * @typedef {'json' | 'text' | 'hex' | 'empty'} Mode
 * @typedef {{text: string, bytes: () => Uint8Array}} Payload
 */

/** @returns {Payload} */
export function payloadOf(/** @type {import('./socket.js').Text} */ wire) {
  if (typeof wire === 'string') return { text: wire, bytes: () => new TextEncoder().encode(wire) };
  const raw = Uint8Array.from(atob(wire.b64), (c) => c.charCodeAt(0));
  return { text: new TextDecoder().decode(raw), bytes: () => raw };
}

function span(/** @type {string} */ cls, text = '') {
  const s = document.createElement('span');
  s.className = cls;
  s.textContent = text;
  return s;
}

function leafText(/** @type {import('./json-text.js').Leaf} */ v) {
  return v.type === 'string' ? JSON.stringify(v.text) : v.text;
}

function same(/** @type {Json} */ a, /** @type {Json | undefined} */ b) {
  return b !== undefined && 'text' in a && 'text' in b && a.type === b.type && a.text === b.text;
}

function member(/** @type {Json | undefined} */ of, /** @type {string} */ key) {
  return of && 'items' in of ? of.items.find((m) => m.key === key)?.value : undefined;
}

/** One line of the tree. Lines stay where they are when only values change. */
class Line {
  el;
  #branch;
  #key;
  #value;
  #was;
  #inside;
  /** @type {Line[]} */ #lines = [];
  /** @type {Branch | null} */ #items = null;
  /** @type {Json | undefined} */ #before;
  #depth;

  constructor(/** @type {string} */ key, /** @type {boolean} */ branch, /** @type {number} */ depth, /** @type {boolean} */ open) {
    this.key = key;
    this.branch = branch;
    this.#depth = depth;
    this.#key = span('json-key', visible(key));
    this.#value = span('json-value');
    this.#was = span('json-was');
    this.#branch = document.createElement(branch ? 'summary' : 'div');
    this.#branch.className = 'json-line';
    this.#branch.append(this.#key, this.#value, this.#was);
    this.#inside = document.createElement('div');
    this.#inside.className = 'json-inside';
    this.el = this.#branch;
    if (branch) {
      const details = document.createElement('details');
      details.className = 'json-branch';
      details.open = open;
      details.append(this.#branch, this.#inside);
      details.addEventListener('toggle', () => this.#fill());
      this.el = details;
    }
  }

  update(/** @type {Json} */ v, /** @type {Json | undefined} */ before) {
    if ('items' in v) {
      this.#items = v;
      this.#before = before;
      const n = count(v.items.length);
      this.#set(this.#value, v.type === 'object' ? `{${n}}` : `[${n}]`, 'json-value json-size');
      this.#fill();
      return;
    }
    this.#set(this.#value, visible(leafText(v)), `json-value json-${v.type}`);
    const changed = before !== undefined && 'text' in before && !same(v, before);
    this.#set(this.#was, changed ? `was ${visible(leafText(before))}` : '', 'json-was');
    this.#branch.classList.toggle('is-changed', changed);
  }

  #set(/** @type {HTMLElement} */ el, /** @type {string} */ text, /** @type {string} */ cls) {
    if (el.textContent !== text) el.textContent = text;
    if (el.className !== cls) el.className = cls;
  }

  #fill() {
    if (!this.#items || !(this.el instanceof HTMLDetailsElement) || !this.el.open) return;
    this.#lines = fillLines(this.#inside, this.#lines, this.#items, this.#before, this.#depth + 1);
  }
}

/** Brings the lines of a branch up to date, reusing what still fits. */
function fillLines(/** @type {HTMLElement} */ into, /** @type {Line[]} */ lines, /** @type {Branch} */ branch,
  /** @type {Json | undefined} */ before, /** @type {number} */ depth) {
  const items = branch.items.slice(0, MEMBERS);
  const fits = lines.length <= items.length &&
    lines.every((l, i) => l.key === items[i].key && l.branch === 'items' in items[i].value);
  if (!fits) lines = [];
  const open = depth < 2 || branch.items.length <= OPEN_VALUES / depth;
  for (let i = lines.length; i < items.length; i++) {
    lines.push(new Line(items[i].key, 'items' in items[i].value, depth, open));
  }
  const rest = branch.items.length - items.length;
  const els = lines.map((l) => l.el);
  if (rest > 0) els.push(span('json-rest', `and ${count(rest)} more: see Text`));
  if (!fits || into.childElementCount !== els.length) into.replaceChildren(...els);
  lines.forEach((l, i) => l.update(items[i].value, member(before, items[i].key)));
  return lines;
}

export class PayloadView {
  #el;
  /** @type {Mode | null} */ #drawn = null;
  /** @type {Line[]} */ #lines = [];
  #pre = document.createElement('pre');
  #tree = document.createElement('div');
  /** @type {'object' | 'array' | null} */ #shape = null;

  /** @param {HTMLElement} el */
  constructor(el) {
    this.#el = el;
    this.#tree.className = 'json';
    this.#pre.className = 'payload-text';
  }

  /** Forgets what was shown, so that the next value starts afresh. */
  clear() {
    this.#drawn = null;
    this.#lines = [];
    this.#tree.replaceChildren();
  }

  /**
   * Shows a payload, and in JSON what is different from the one before.
   * @param {Payload} p @param {Mode} mode @param {Payload | null} before
   * @returns {Mode} how it is shown: JSON that can't be read is text
   */
  show(p, mode, before) {
    if (mode === 'json') {
      const v = parseJSON(p.text);
      if (v && 'items' in v) {
        this.#showTree(v, before && parseJSON(before.text));
        return 'json';
      }
      mode = 'text';
    }
    const text = mode === 'hex' ? hexDump(p.bytes()) : mode === 'empty' ? 'An empty message' : visibleText(p.text);
    this.#place(mode, this.#pre);
    this.#pre.classList.toggle('is-empty', mode === 'empty');
    this.#pre.classList.toggle('is-hex', mode === 'hex');
    // What a person is about to copy is not pulled away.
    if (this.#pre.textContent !== text && !this.#selecting()) this.#pre.textContent = text;
    return mode;
  }

  #showTree(/** @type {Branch} */ v, /** @type {Json | null} */ before) {
    this.#place('json', this.#tree);
    if (this.#shape !== v.type) this.#lines = [];
    this.#shape = v.type;
    if (v.items.length === 0) {
      this.#lines = [];
      this.#tree.replaceChildren(span('json-size', v.type === 'object' ? '{}' : '[]'));
      return;
    }
    this.#lines = fillLines(this.#tree, this.#lines, v, before ?? undefined, 0);
  }

  #place(/** @type {Mode} */ mode, /** @type {HTMLElement} */ el) {
    if (this.#drawn === mode) return;
    this.#drawn = mode;
    this.#el.replaceChildren(el);
  }

  #selecting() {
    const s = getSelection();
    return !!s && !s.isCollapsed && s.anchorNode !== null && this.#pre.contains(s.anchorNode);
  }
}

/** Sixteen bytes a line, with their place and what they are as ASCII. */
export function hexDump(/** @type {Uint8Array} */ b) {
  const lines = [];
  const end = Math.min(b.length, HEX_BYTES);
  for (let at = 0; at < end; at += 16) {
    const part = b.subarray(at, Math.min(at + 16, end));
    const hex = [...part].map((x) => x.toString(16).padStart(2, '0'));
    const ascii = [...part].map((x) => (x >= 0x20 && x < 0x7f ? String.fromCharCode(x) : '.')).join('');
    lines.push(`${at.toString(16).padStart(5, '0')}  ${hex.slice(0, 8).join(' ').padEnd(23)}  ${hex.slice(8).join(' ').padEnd(23)}  ${ascii}`);
  }
  if (b.length > end) lines.push(`… the first ${size(end)}`);
  return lines.join('\n');
}
