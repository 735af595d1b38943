const filter = document.querySelector('.filter');
const search = filter.querySelector('[type=search]');
const boxes = [...filter.querySelectorAll('[type=checkbox]')];
const count = filter.querySelector('output');
const entries = [...document.querySelectorAll('[data-verdicts]')];
const sections = entries.filter((entry) => entry.tagName === 'SECTION');
const texts = new Map(sections.map((it) => [it.dataset.name, it.textContent.toLowerCase()]));
const apply = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
  let shown = 0;
  for (const entry of entries) {
    const text = texts.get(entry.dataset.name) ?? '';
    const fits = entry.dataset.verdicts.split(' ').some((verdict) => wanted.includes(verdict))
      && words.every((word) => text.includes(word));
    entry.hidden = !fits;
    if (fits && entry.tagName === 'SECTION') shown += 1;
  }
  count.textContent = `${shown} of ${sections.length} scenarios`;
};
filter.hidden = false;
filter.addEventListener('input', apply);
const open = () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.querySelector('details')?.setAttribute('open', '');
addEventListener('hashchange', open);
open();
apply();
