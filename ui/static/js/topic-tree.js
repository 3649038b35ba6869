// @ts-check
// The topics as plain objects, without any DOM: what is below what, what is
// open, what a filter left, and the flat list of rows that follows from it.

/** Rows beyond this are not listed: browsers cap how high an element can be. */
export const MAX_ROWS = 200_000;

const collator = new Intl.Collator('en', { numeric: true });

export class TopicNode {
  /** @type {TopicNode[] | null} */ children = null;
  sorted = true;
  open = false;
  /** Closed by hand while a filter is on, which opens everything else. */
  folded = false;
  topics = 0; // in here, itself included
  below = 0; // matches in here, itself included
  matched = false;
  // Where the flat list has it.
  level = 1;
  pos = 1;
  size = 1;
  /** @type {{text: string, count: number, at: number, retained: boolean, rate: number} | null} */ value = null;

  /** @param {number} id @param {TopicNode | null} parent @param {string} name @param {boolean} topic */
  constructor(id, parent, name, topic) {
    this.id = id;
    this.parent = parent;
    this.name = name;
    this.topic = topic;
  }

  /** Names from the top level to here. @returns {string[]} */
  path() {
    const names = [];
    /** @type {TopicNode | null} */
    let n = this;
    for (; n?.parent; n = n.parent) names.push(n.name);
    return names.reverse();
  }
}

export class TopicTree {
  root = new TopicNode(0, null, '', false);
  /** @type {Map<number, TopicNode>} */ nodes = new Map();
  /** @type {Set<number> | null} ids that the filter matches, null without one */ matches = null;
  showSys = false;
  topics = 0;
  capped = false;
  /** @type {TopicNode[]} */ #rows = [];
  #stale = true;

  constructor() {
    this.root.open = true;
  }

  reset() {
    this.root = new TopicNode(0, null, '', false);
    this.root.open = true;
    this.nodes.clear();
    this.topics = 0;
    this.#stale = true;
  }

  /** Adds rows, parents first; a row that is there already changes. */
  add(/** @type {[number, number, string, number][]} */ rows) {
    for (const [id, parentID, name, topic] of rows) {
      const known = this.nodes.get(id);
      if (known) {
        this.#setTopic(known, topic === 1);
        continue;
      }
      const parent = parentID === 0 ? this.root : this.nodes.get(parentID);
      if (!parent) continue;
      const node = new TopicNode(id, parent, name, false);
      this.nodes.set(id, node);
      (parent.children ??= []).push(node);
      parent.sorted = false;
      if (topic === 1) this.#setTopic(node, true);
      if (this.matches?.has(id)) this.#setMatched(node, true);
    }
    this.#stale = true;
  }

  remove(/** @type {number[]} */ ids) {
    /** @type {Set<TopicNode>} */ const thinned = new Set();
    for (const id of ids) {
      const node = this.nodes.get(id);
      if (!node?.parent) continue;
      this.#setTopic(node, false);
      this.#setMatched(node, false);
      this.nodes.delete(id);
      this.matches?.delete(id);
      thinned.add(node.parent);
    }
    for (const parent of thinned) {
      parent.children = parent.children?.filter((c) => this.nodes.has(c.id)) ?? null;
      if (parent.children?.length === 0) parent.children = null;
    }
    this.#stale = true;
  }

  #setTopic(/** @type {TopicNode} */ node, /** @type {boolean} */ topic) {
    if (node.topic === topic) return;
    node.topic = topic;
    if (!topic) node.value = null;
    const by = topic ? 1 : -1;
    this.topics += by;
    for (let n = /** @type {TopicNode | null} */ (node); n; n = n.parent) n.topics += by;
  }

  #setMatched(/** @type {TopicNode} */ node, /** @type {boolean} */ matched) {
    if (node.matched === matched) return;
    node.matched = matched;
    for (let n = /** @type {TopicNode | null} */ (node); n; n = n.parent) n.below += matched ? 1 : -1;
  }

  /** Begins a filter, or ends it with null. */
  filter(/** @type {Set<number> | null} */ matches) {
    for (const node of this.nodes.values()) {
      node.matched = false;
      node.below = 0;
      node.folded = false;
    }
    this.root.below = 0;
    this.matches = matches;
    this.#stale = true;
  }

  match(/** @type {number[]} */ ids) {
    if (!this.matches) return;
    for (const id of ids) {
      this.matches.add(id);
      const node = this.nodes.get(id);
      if (node) this.#setMatched(node, true);
    }
    this.#stale = true;
  }

  isOpen(/** @type {TopicNode} */ node) {
    return this.matches ? !node.folded : node.open;
  }

  setOpen(/** @type {TopicNode} */ node, /** @type {boolean} */ open) {
    if (!node.children || this.isOpen(node) === open) return;
    if (this.matches) node.folded = !open;
    else node.open = open;
    this.#stale = true;
  }

  closeAll() {
    for (const node of this.nodes.values()) {
      if (this.matches) node.folded = node.children !== null;
      else node.open = false;
    }
    this.#stale = true;
  }

  setShowSys(/** @type {boolean} */ on) {
    this.showSys = on;
    this.#stale = true;
  }

  /** The node with these names, if there is one; of very long names the server sends the beginning. */
  find(/** @type {string[]} */ path) {
    let at = this.root;
    for (const name of path) {
      const next = at.children?.find((c) => c.name === name) ??
        at.children?.find((c) => c.name.endsWith('…') && name.length > 100 && name.startsWith(c.name.slice(0, -1)));
      if (!next) return null;
      at = next;
    }
    return at;
  }

  /** What to open again after a reset. */
  openPaths() {
    return [...this.nodes.values()].filter((n) => n.open).map((n) => n.path());
  }

  /** The rows that are listed, in order. */
  rows() {
    if (this.#stale) this.#list();
    return this.#rows;
  }

  #list() {
    /** @type {TopicNode[]} */ const rows = [];
    /** @type {{list: TopicNode[], at: number}[]} */ const stack = [];
    let top = this.#shown(this.root);
    if (!this.showSys) top = top.filter((n) => n.name !== '$SYS');
    let here = { list: top, at: 0 };
    this.capped = false;
    for (;;) {
      if (here.at === here.list.length) {
        const up = stack.pop();
        if (!up) break;
        here = up;
        continue;
      }
      if (rows.length === MAX_ROWS) {
        this.capped = true;
        break;
      }
      const node = here.list[here.at++];
      node.level = stack.length + 1;
      node.pos = here.at;
      node.size = here.list.length;
      rows.push(node);
      if (node.children && this.isOpen(node)) {
        stack.push(here);
        here = { list: this.#shown(node), at: 0 };
      }
    }
    this.#rows = rows;
    this.#stale = false;
  }

  /** Children in order, those that the filter left. @returns {TopicNode[]} */
  #shown(/** @type {TopicNode} */ node) {
    if (!node.children) return [];
    if (!node.sorted) {
      // The collator knows that 10 comes after 9 but takes its time.
      const plain = node.children.length > 20_000;
      node.children.sort(plain ? (a, b) => (a.name < b.name ? -1 : 1) : (a, b) => collator.compare(a.name, b.name));
      node.sorted = true;
    }
    return this.matches ? node.children.filter((c) => c.below > 0) : node.children;
  }
}
