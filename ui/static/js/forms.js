// @ts-check
// Forms that are more convenient with JavaScript: fields that only count with a
// choice, rows of rules, and a question before unsaved changes are left.

/** Shows [data-shown-with="name=value"] while that radio button is chosen. */
function dependents() {
  for (const el of document.querySelectorAll('[data-shown-with]')) {
    if (!(el instanceof HTMLElement)) continue;
    const [name, value] = (el.dataset.shownWith ?? '').split('=');
    const form = el.closest('form');
    const update = () => {
      const chosen = form?.querySelector(`input[name="${name}"]:checked`);
      el.hidden = !(chosen instanceof HTMLInputElement && chosen.value === value);
    };
    form?.addEventListener('change', update);
    update();
  }
}

/** Adds and removes rows of rules. A removed row is gone from the form. */
function rules() {
  for (const form of document.querySelectorAll('form[data-rules]')) {
    if (!(form instanceof HTMLFormElement)) continue;
    const rows = form.querySelector('[data-rule-rows]');
    const add = form.querySelector('[data-rule-add]');
    const blanks = form.querySelectorAll('.rule-blank');
    const pattern = blanks[0]?.cloneNode(true);
    if (!rows || !(add instanceof HTMLButtonElement) || !(pattern instanceof HTMLElement)) continue;
    // Empty rows are for those without JavaScript; one stays where there is no rule yet.
    const keep = rows.children.length === blanks.length ? 1 : 0;
    [...blanks].slice(keep).forEach((row) => row.remove());
    add.hidden = false;

    const equip = (/** @type {Element} */ row) => {
      const remove = row.querySelector('[data-rule-remove]');
      if (!(remove instanceof HTMLButtonElement)) return;
      remove.hidden = false;
      remove.addEventListener('click', () => {
        row.remove();
        number();
        form.dispatchEvent(new Event('input'));
        add.focus();
      });
    };
    const number = () => {
      [...rows.children].forEach((row, i) => {
        const legend = row.querySelector('legend');
        if (legend) legend.textContent = `Rule ${i + 1}`;
      });
    };
    [...rows.children].forEach(equip);
    add.addEventListener('click', () => {
      const row = pattern.cloneNode(true);
      if (!(row instanceof HTMLElement)) return;
      rows.append(row);
      equip(row);
      number();
      const first = row.querySelector('select');
      first?.focus();
    });
  }
}

/** Asks before a page with unsaved changes in a form[data-guard] is left. */
function guard() {
  let dirty = false;
  let leaving = false;
  for (const form of document.querySelectorAll('form[data-guard]')) {
    form.addEventListener('input', () => { dirty = true; });
  }
  document.addEventListener('submit', () => { leaving = true; });
  addEventListener('pageshow', () => { leaving = false; });
  addEventListener('beforeunload', (e) => {
    if (dirty && !leaving) e.preventDefault();
  });
}

/** Shows of a list only what has the words of a search field in it. */
function filters() {
  for (const field of document.querySelectorAll('[data-filter]')) {
    if (!(field instanceof HTMLElement)) continue;
    const list = document.getElementById(field.dataset.filter ?? '');
    const input = field.querySelector('input');
    if (!list || !input) continue;
    field.hidden = false;
    input.addEventListener('input', () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const item of list.children) {
        const text = item.textContent?.toLowerCase() ?? '';
        if (item instanceof HTMLElement) item.hidden = !words.every((word) => text.includes(word));
      }
    });
  }
}

/** Shows the rules of a template with what the fields say. */
function templates() {
  const filters = [...document.querySelectorAll('[data-template]')];
  const form = filters[0]?.closest('form');
  if (!form) return;
  const value = (/** @type {string} */ name) => {
    const field = form.elements.namedItem(name);
    return field instanceof HTMLInputElement ? field.value.trim() : '';
  };
  form.addEventListener('input', () => {
    for (const el of filters) {
      if (!(el instanceof HTMLElement)) continue;
      el.textContent = (el.dataset.template ?? '').replace(/\{(\w+)\}/g, (all, key) => (key === 'user' ? '' : value(`key-${key}`)) || value('name') || all);
    }
  });
}

dependents();
templates();
rules();
filters();
guard();
