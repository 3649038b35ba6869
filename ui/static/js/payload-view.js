// @ts-check
// Shows a payload: as a tree of JSON, as text, as a picture, or byte by byte.
// Whatever is in it ends in textContent or in the pixels of a data: URL.

import { parseJSON } from './json-text.js';
import { bytes as size, count, visible, visibleText } from './format.js';

const HEX_BYTES = 16 << 10; // more is for a download, not for reading
const MEMBERS = 500; // of one object or list
const OPEN_VALUES = 60; // larger ones begin closed below the second level

/**
 * @typedef {import('./json-text.js').Json} Json
 * @typedef {import('./json-text.js').Branch} Branch
 * @typedef {import('./socket.js').Detail} Detail
 * @typedef {{text: string, bytes: () => Uint8Array}} Payload
 */

/** What the forms of a payload are called; the server knows the same ones. @type {Record<string, string>} */
export const FORMS = {
  json: 'JSON', text: 'Text', image: 'Picture', sparkplug: 'Sparkplug B', cbor: 'CBOR', msgpack: 'MessagePack',
  unbase64: 'From Base64', hex: 'Hex', base64: 'Base64',
};

/** Forms that the server decodes. */
const DECODED = ['sparkplug', 'cbor', 'msgpack', 'unbase64'];

/** Pictures that a browser may show, by their first bytes; SVG is none, it may hold script. */
function imageType(/** @type {Uint8Array} */ b) {
  const head = String.fromCharCode(...b.subarray(0, 12));
  if (head.startsWith('\x89PNG')) return 'image/png';
  if (head.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (head.startsWith('GIF8')) return 'image/gif';
  if (head.startsWith('RIFF') && head.slice(8) === 'WEBP') return 'image/webp';
  return '';
}

/** Bytes as base64. */
export function toBase64(/** @type {Uint8Array} */ b) {
  let raw = '';
  for (let i = 0; i < b.length; i += 8192) raw += String.fromCharCode(...b.subarray(i, i + 8192));
  return btoa(raw);
}

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

  /** @type {HTMLButtonElement | null} */ #chart = null;

  /**
   * @param {string} key @param {boolean} branch @param {string[]} path from the top to here
   * @param {boolean} open @param {((path: string[]) => void) | null} onNumber
   */
  constructor(key, branch, path, open, onNumber) {
    this.key = key;
    this.path = path;
    this.onNumber = onNumber;
    this.branch = branch;
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
    this.#charted(v.type === 'number');
  }

  /** A number can be followed in a chart. */
  #charted(/** @type {boolean} */ on) {
    if (!on || !this.onNumber) {
      this.#chart?.remove();
      this.#chart = null;
      return;
    }
    if (this.#chart) return;
    const b = document.createElement('button');
    b.type = 'button';
    b.className = 'json-chart';
    b.title = 'Show as a chart';
    b.setAttribute('aria-label', `Show ${visible(this.key)} as a chart`);
    b.append(icon('chart'));
    b.addEventListener('click', () => this.onNumber?.(this.path));
    this.#chart = b;
    this.#branch.append(b);
  }

  #set(/** @type {HTMLElement} */ el, /** @type {string} */ text, /** @type {string} */ cls) {
    if (el.textContent !== text) el.textContent = text;
    if (el.className !== cls) el.className = cls;
  }

  #fill() {
    if (!this.#items || !(this.el instanceof HTMLDetailsElement) || !this.el.open) return;
    this.#lines = fillLines(this.#inside, this.#lines, this.#items, this.#before, this.path, this.onNumber);
  }
}

/** Brings the lines of a branch up to date, reusing what still fits. */
function fillLines(/** @type {HTMLElement} */ into, /** @type {Line[]} */ lines, /** @type {Branch} */ branch,
  /** @type {Json | undefined} */ before, /** @type {string[]} */ path, /** @type {((path: string[]) => void) | null} */ onNumber) {
  const depth = path.length;
  const items = branch.items.slice(0, MEMBERS);
  const fits = lines.length <= items.length &&
    lines.every((l, i) => l.key === items[i].key && l.branch === 'items' in items[i].value);
  if (!fits) lines = [];
  const open = depth < 2 || branch.items.length <= OPEN_VALUES / depth;
  for (let i = lines.length; i < items.length; i++) {
    lines.push(new Line(items[i].key, 'items' in items[i].value, [...path, items[i].key], open, onNumber));
  }
  const rest = branch.items.length - items.length;
  const els = lines.map((l) => l.el);
  if (rest > 0) els.push(span('json-rest', `and ${count(rest)} more: see Text`));
  if (!fits || into.childElementCount !== els.length) into.replaceChildren(...els);
  lines.forEach((l, i) => l.update(items[i].value, member(before, items[i].key)));
  return lines;
}

function icon(/** @type {string} */ name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

export class PayloadView {
  #el;
  /** @type {HTMLElement | null} */ #drawn = null;
  /** @type {Line[]} */ #lines = [];
  #pre = document.createElement('pre');
  #tree = document.createElement('div');
  #img = document.createElement('img');
  #shown = ''; // URL of the picture
  /** @type {(() => Uint8Array) | null} of the picture */ #bytes = null;
  /** @type {'object' | 'array' | null} */ #shape = null;
  /** @type {((path: string[]) => void) | null} called for a number whose chart is wanted */ onNumber = null;

  /** @param {HTMLElement} el */
  constructor(el) {
    this.#el = el;
    this.#tree.className = 'json';
    this.#pre.className = 'payload-text';
    this.#img.className = 'payload-image';
    this.#img.alt = 'The picture in this message';
    this.#img.addEventListener('error', () => {
      // It only began like one.
      if (this.#drawn === this.#img && this.#bytes) this.show({ text: '', bytes: this.#bytes }, 'hex', null);
    });
  }

  /** Forgets what was shown, so that the next value starts afresh. */
  clear() {
    this.#drawn = null;
    this.#lines = [];
    this.#shown = '';
    this.#img.removeAttribute('src');
    this.#tree.replaceChildren();
  }

  /**
   * Shows a message in one of its forms, the best one for ''.
   * @param {Detail} d @param {string} form @param {Payload | null} before what JSON is compared with
   * @returns {string} the form it is shown in
   */
  showDetail(d, form, before) {
    const forms = d.forms ?? [];
    if (forms.length === 0) return this.show(payloadOf(''), 'empty', null);
    if (!forms.includes(form)) form = d.decodedForm && forms[0] === d.decodedForm ? d.decodedForm : forms[0];
    const p = payloadOf(d.value ?? '');
    if (!DECODED.includes(form)) return this.show(p, form, before);
    if (d.decodedForm !== form || d.decoded === undefined) return form; // it is on its way
    const decoded = payloadOf(d.decoded);
    if (d.decodedLong) this.show({ ...decoded, text: `${decoded.text}\n… only the beginning: download it for the rest` }, 'text', null);
    else this.show(decoded, 'json', null);
    return form;
  }

  /**
   * Shows a payload, and in JSON what is different from the one before.
   * @param {Payload} p @param {string} form @param {Payload | null} before
   * @returns {string} how it is shown: JSON that can't be read is text
   */
  show(p, form, before) {
    if (form === 'json') {
      const v = parseJSON(p.text);
      if (v && 'items' in v) {
        this.#showTree(v, before && parseJSON(before.text));
        return 'json';
      }
      form = 'text';
    }
    if (form === 'image') {
      const b = p.bytes();
      const type = imageType(b);
      if (type) {
        const url = `data:${type};base64,${toBase64(b)}`;
        this.#bytes = p.bytes;
        if (url !== this.#shown) this.#img.src = this.#shown = url;
        this.#place(this.#img);
        return 'image';
      }
      form = 'hex';
    }
    const text = form === 'hex' ? hexDump(p.bytes()) : form === 'base64' ? toBase64(p.bytes()) : form === 'empty' ? 'An empty message' : visibleText(p.text);
    this.#place(this.#pre);
    this.#pre.classList.toggle('is-empty', form === 'empty');
    this.#pre.classList.toggle('is-hex', form === 'hex');
    // What a person is about to copy is not pulled away.
    if (this.#pre.textContent !== text && !this.#selecting()) this.#pre.textContent = text;
    return form;
  }

  #showTree(/** @type {Branch} */ v, /** @type {Json | null} */ before) {
    this.#place(this.#tree);
    if (this.#shape !== v.type) this.#lines = [];
    this.#shape = v.type;
    if (v.items.length === 0) {
      this.#lines = [];
      this.#tree.replaceChildren(span('json-size', v.type === 'object' ? '{}' : '[]'));
      return;
    }
    this.#lines = fillLines(this.#tree, this.#lines, v, before ?? undefined, [], this.onNumber);
  }

  #place(/** @type {HTMLElement} */ el) {
    if (this.#drawn === el && el.parentElement === this.#el) return;
    this.#drawn = el;
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
