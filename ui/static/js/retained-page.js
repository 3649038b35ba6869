// @ts-check
// Ticks all boxes of the list at once.

const all = document.querySelector('[data-tick-all]');
if (all instanceof HTMLInputElement) {
  const boxes = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('input[name=key]')]);
  const update = () => {
    const n = boxes.filter((b) => b.checked).length;
    all.checked = n > 0 && n === boxes.length;
    all.indeterminate = n > 0 && n < boxes.length;
  };
  all.hidden = false;
  all.addEventListener('change', () => { for (const b of boxes) b.checked = all.checked; });
  for (const b of boxes) b.addEventListener('change', update);
  update();
}
