// @ts-check
// Chooses the colours before anything is painted, so a page never flashes in
// the wrong ones. A classic script on purpose: modules run after the first paint.
// What is chosen: the person's own choice (stored), else Home Assistant's theme
// when we sit in its panel, else what the browser prefers (that is CSS alone).
'use strict';
(() => {
  const root = document.documentElement;
  const KEY = 'hearthmq.theme';

  // Home Assistant's variable → ours. Nothing else is taken over.
  const FROM_HA = {
    '--primary-background-color': '--hm-page',
    '--card-background-color': '--hm-card',
    '--secondary-background-color': '--hm-sunken',
    '--primary-text-color': '--hm-text',
    '--secondary-text-color': '--hm-muted',
    '--divider-color': '--hm-divider',
    '--primary-color': '--hm-primary',
    '--sidebar-background-color': '--hm-side',
  };

  /** @returns {string} auto, light or dark */
  function choice() {
    try {
      const stored = localStorage.getItem(KEY);
      return stored === 'light' || stored === 'dark' ? stored : 'auto';
    } catch {
      return 'auto';
    }
  }

  /** The root element of Home Assistant when it shows us, else null. */
  function homeAssistant() {
    try {
      if (window.parent === window) return null;
      const doc = window.parent.document;
      return doc.querySelector('home-assistant') ? doc.documentElement : null;
    } catch {
      return null; // embedded by another origin
    }
  }

  /** Is this colour dark? Canvas-free: the browser resolves it for us. */
  function isDark(/** @type {string} */ colour) {
    const probe = document.createElement('i');
    probe.style.color = colour;
    root.append(probe);
    const rgb = getComputedStyle(probe).color.match(/[\d.]+/g);
    probe.remove();
    if (!rgb || rgb.length < 3) return false;
    return 0.299 * +rgb[0] + 0.587 * +rgb[1] + 0.114 * +rgb[2] < 128;
  }

  function apply() {
    const mode = choice();
    for (const ours of Object.values(FROM_HA)) root.style.removeProperty(ours);
    root.dataset.theme = mode;
    const ha = mode === 'auto' ? homeAssistant() : null;
    if (!ha) return;
    try {
      const theirs = getComputedStyle(ha);
      const page = theirs.getPropertyValue('--primary-background-color').trim();
      if (page && CSS.supports('color', page)) root.dataset.theme = isDark(page) ? 'dark' : 'light';
      for (const [from, to] of Object.entries(FROM_HA)) {
        const value = theirs.getPropertyValue(from).trim();
        if (value && value.length < 64 && CSS.supports('color', value)) root.style.setProperty(to, value);
      }
    } catch {
      // whatever Home Assistant changed, our own colours stand
    }
  }

  apply();
  const ha = homeAssistant();
  if (ha) {
    new MutationObserver(apply).observe(ha, { attributes: true, attributeFilter: ['style', 'class'] });
  }
  addEventListener('storage', (e) => { if (e.key === KEY) apply(); });
  addEventListener('hearthmq-theme', apply);
})();
