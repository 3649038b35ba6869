// @ts-check
// Draws the rows of a TopicTree that are in sight with a few dozen elements
// that are moved about, whatever the number of rows. The focus stays on the
// tree itself and aria-activedescendant names the row: an element that is
// moved away could not keep it.

import { TopicNode } from './topic-tree.js';
import { shortSpan, visible, count } from './format.js';

const ROW = 28; // px, as in 60-topics.css
const SPARE = 4; // rows above and below what is in sight
const NOTICE_GAP = 100; // ms between two onVisible calls

/**
 * @typedef {import('./topic-tree.js').TopicTree} Tree
 * @typedef {{el: HTMLElement, node: TopicNode | null, top: number, drawn: string, twist: HTMLElement, name: HTMLElement,
 *   folder: HTMLElement, value: HTMLElement, dot: HTMLElement, note: HTMLElement, rate: HTMLElement, age: HTMLElement, seen: number}} Row
 */

export class VirtualTree {
  #el;
  #tree;
  #sizer;
  /** @type {Map<TopicNode, Row>} */ #shown = new Map();
  /** @type {Row[]} */ #free = [];
  /** @type {TopicNode | null} */ active = null;
  /** @type {TopicNode | null} */ selected = null;
  #frame = 0;
  #noticeTimer = 0;
  #height = 0;
  #typed = '';
  #typedAt = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');
  /** @type {(ids: number[]) => void} called when other rows came into sight */ onVisible = () => {};
  /** @type {(node: TopicNode) => void} */ onSelect = () => {};

  /** @param {HTMLElement} el with role=tree @param {Tree} tree */
  constructor(el, tree) {
    this.#el = el;
    this.#tree = tree;
    this.#sizer = document.createElement('div');
    this.#sizer.className = 'tree-sizer';
    this.#sizer.setAttribute('role', 'presentation');
    el.replaceChildren(this.#sizer);
    el.addEventListener('scroll', () => this.draw(), { passive: true });
    el.addEventListener('keydown', (e) => this.#key(e));
    el.addEventListener('click', (e) => this.#click(e));
    new ResizeObserver(() => this.draw()).observe(el);
    setInterval(() => this.#ages(), 1000);
  }

  /** Draws with the next frame. */
  draw() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  /** A value came in; its row shows it if it is in sight, and that there was a message if it is news. */
  changed(/** @type {TopicNode} */ node, /** @type {boolean} */ news) {
    const row = this.#shown.get(node);
    if (!row) return;
    this.#fillValue(row, node);
    if (news && !this.#still.matches) {
      row.dot.animate([{ opacity: 1 }, { opacity: 0 }], { duration: 900, easing: 'ease-out' });
    }
  }

  /** Makes a row the selected one. */
  select(/** @type {TopicNode | null} */ node) {
    this.selected = node;
    if (node) this.active = node;
    this.draw();
  }

  /** Scrolls a row into sight. */
  reveal(/** @type {TopicNode} */ node) {
    const i = this.#tree.rows().indexOf(node);
    if (i < 0) return;
    this.#resize(); // folders may just have been opened
    const top = i * ROW;
    if (top < this.#el.scrollTop) this.#el.scrollTop = top;
    else if (top + ROW > this.#el.scrollTop + this.#el.clientHeight) this.#el.scrollTop = top + ROW - this.#el.clientHeight;
    this.draw();
  }

  #paint() {
    this.#frame = 0;
    const rows = this.#resize();
    const first = Math.max(0, Math.floor(this.#el.scrollTop / ROW) - SPARE);
    const last = Math.min(rows.length, Math.ceil((this.#el.scrollTop + this.#el.clientHeight) / ROW) + SPARE);
    const wanted = new Set(rows.slice(first, last));
    let others = false;
    for (const [node, row] of this.#shown) {
      if (wanted.has(node)) continue;
      this.#shown.delete(node);
      row.node = null;
      this.#free.push(row);
      others = true;
    }
    for (let i = first; i < last; i++) {
      const node = rows[i];
      let row = this.#shown.get(node);
      if (!row) {
        row = this.#free.pop() ?? this.#make();
        row.node = node;
        row.seen = -1;
        row.el.hidden = false;
        this.#shown.set(node, row);
        others = true;
      }
      this.#fill(row, node, i * ROW);
    }
    for (const row of this.#free) row.el.hidden = true;
    this.#mark();
    if (others && !this.#noticeTimer) {
      this.#noticeTimer = setTimeout(() => {
        this.#noticeTimer = 0;
        this.announce();
      }, NOTICE_GAP);
    }
  }

  #resize() {
    const rows = this.#tree.rows();
    const height = rows.length * ROW;
    if (height !== this.#height) {
      this.#height = height;
      this.#sizer.style.height = `${height}px`;
    }
    return rows;
  }

  /** Tells onVisible what is in sight. */
  announce() {
    this.onVisible([...this.#shown.keys()].map((n) => n.id));
  }

  /** @returns {Row} */
  #make() {
    const el = document.createElement('div');
    el.className = 'tree-row';
    el.setAttribute('role', 'treeitem');
    const part = (/** @type {string} */ cls, /** @type {string} */ tag = 'span') => {
      const p = document.createElement(tag);
      p.className = cls;
      return p;
    };
    const twist = part('tree-twist');
    twist.setAttribute('aria-hidden', 'true');
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('class', 'icon');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', '#i-chevron');
    svg.append(use);
    twist.append(svg);
    const [name, folder, dot, value, note, rate, age] = [part('tree-name', 'bdi'), part('tree-count'), part('tree-dot'),
      part('tree-value', 'bdi'), part('tree-note'), part('tree-rate'), part('tree-age')];
    note.textContent = 'retained';
    rate.title = 'Messages per second';
    el.append(twist, name, folder, dot, value, note, rate, age);
    this.#sizer.append(el);
    return { el, node: null, top: -1, drawn: '', twist, name, folder, value, dot, note, rate, age, seen: -1 };
  }

  #fill(/** @type {Row} */ row, /** @type {TopicNode} */ node, /** @type {number} */ top) {
    if (row.top !== top) {
      row.top = top;
      row.el.style.transform = `translateY(${top}px)`;
    }
    const open = node.children !== null && this.#tree.isOpen(node);
    const drawn = `${node.id} ${node.level} ${node.pos} ${node.size} ${node.children ? (open ? 2 : 1) : 0} ${node.topics} ${node.below} ${node.topic}`;
    if (row.drawn !== drawn) {
      row.drawn = drawn;
      const el = row.el;
      el.id = `t${node.id}`;
      el.setAttribute('aria-level', String(node.level));
      el.setAttribute('aria-posinset', String(node.pos));
      el.setAttribute('aria-setsize', String(node.size));
      if (node.children) el.setAttribute('aria-expanded', String(open));
      else el.removeAttribute('aria-expanded');
      el.style.setProperty('--level', String(node.level - 1));
      row.name.textContent = node.name === '' ? '(empty)' : visible(node.name);
      row.name.classList.toggle('is-empty', node.name === '');
      const inside = node.topics - (node.topic ? 1 : 0);
      row.folder.textContent = node.children ? count(this.#tree.matches ? node.below - (node.matched ? 1 : 0) : inside) : '';
    }
    if (row.seen !== (node.value?.count ?? -2)) this.#fillValue(row, node);
  }

  #fillValue(/** @type {Row} */ row, /** @type {TopicNode} */ node) {
    const v = node.value;
    row.seen = v?.count ?? -2;
    const text = v ? v.text : '';
    if (row.value.textContent !== text) row.value.textContent = text;
    row.note.hidden = !v?.retained;
    this.#fillAge(row, node);
  }

  #fillAge(/** @type {Row} */ row, /** @type {TopicNode} */ node) {
    const since = node.value ? performance.now() - node.value.at : 0;
    const text = node.value ? shortSpan(since) : '';
    if (row.age.textContent !== text) row.age.textContent = text;
    // A rate that nothing came for since counts no more.
    const perSecond = node.value && since < 10_000 ? node.value.rate : 0;
    const rate = perSecond >= 0.1 ? `${perSecond < 9.95 ? perSecond.toFixed(1) : Math.round(perSecond)}/s` : '';
    if (row.rate.textContent !== rate) row.rate.textContent = rate;
  }

  #ages() {
    if (document.hidden) return;
    for (const [node, row] of this.#shown) this.#fillAge(row, node);
  }

  /** Shows which row is active and which is selected. */
  #mark() {
    for (const [node, row] of this.#shown) {
      row.el.setAttribute('aria-selected', String(node === this.selected));
      row.el.classList.toggle('is-active', node === this.active);
    }
    const active = this.active && this.#shown.get(this.active);
    if (active) this.#el.setAttribute('aria-activedescendant', active.el.id);
    else this.#el.removeAttribute('aria-activedescendant');
  }

  #click(/** @type {MouseEvent} */ e) {
    if (!(e.target instanceof Element)) return;
    const el = e.target.closest('.tree-row');
    const node = [...this.#shown.values()].find((r) => r.el === el)?.node;
    if (!node) return;
    this.active = node;
    const twist = e.target.closest('.tree-twist');
    if (node.children && (twist || !node.topic || node === this.selected)) this.toggle(node, !this.#tree.isOpen(node));
    if (!twist) this.#choose(node);
    this.draw();
  }

  #choose(/** @type {TopicNode} */ node) {
    this.selected = node;
    this.onSelect(node);
    this.draw();
  }

  toggle(/** @type {TopicNode} */ node, /** @type {boolean} */ open) {
    this.#tree.setOpen(node, open);
    this.draw();
  }

  #key(/** @type {KeyboardEvent} */ e) {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const rows = this.#tree.rows();
    if (rows.length === 0) return;
    const at = this.active ? rows.indexOf(this.active) : -1;
    const node = at < 0 ? null : rows[at];
    const page = Math.max(1, Math.floor(this.#el.clientHeight / ROW) - 1);
    let to = at;
    switch (e.key) {
      case 'ArrowDown': to = at + 1; break;
      case 'ArrowUp': to = at - 1; break;
      case 'PageDown': to = at + page; break;
      case 'PageUp': to = at - page; break;
      case 'Home': to = 0; break;
      case 'End': to = rows.length - 1; break;
      case 'ArrowRight':
        if (node?.children && !this.#tree.isOpen(node)) this.toggle(node, true);
        else if (node?.children) to = at + 1;
        break;
      case 'ArrowLeft':
        if (node?.children && this.#tree.isOpen(node)) this.toggle(node, false);
        else if (node?.parent && node.parent !== this.#tree.root) to = rows.indexOf(node.parent);
        break;
      case 'Enter':
      case ' ':
        if (!node) return;
        if (!node.topic && node.children) this.toggle(node, !this.#tree.isOpen(node));
        this.#choose(node);
        break;
      default:
        if (e.key.length !== 1) return;
        to = this.#typeAhead(rows, at, e.key);
    }
    e.preventDefault();
    this.active = rows[Math.max(0, Math.min(rows.length - 1, to))];
    this.reveal(this.active);
  }

  /** Typing goes to the next row whose name begins like that. */
  #typeAhead(/** @type {TopicNode[]} */ rows, /** @type {number} */ at, /** @type {string} */ key) {
    const now = performance.now();
    this.#typed = now - this.#typedAt > 700 ? key : this.#typed + key;
    this.#typedAt = now;
    const text = this.#typed.toLowerCase();
    const from = this.#typed.length === 1 ? at + 1 : Math.max(0, at);
    for (let i = 0; i < rows.length; i++) {
      const j = (from + i) % rows.length;
      if (rows[j].name.toLowerCase().startsWith(text)) return j;
    }
    return at;
  }
}
