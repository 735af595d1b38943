// Looks at the page as it is drawn: names of what can be used, contrast of every text (WCAG 2.2, 1.4.3), and whether
// anything is wider than the window or lies on something else. What it finds is the text of #audit.
{
  for (const details of document.querySelectorAll('details')) details.open = true;
  const found = new Set();
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = channels(colour).slice(0, 3).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    for (let it = element; it; it = it.parentElement) {
      // The text of a picture stands on its ground or on the panel of a box, which is the darker of the two.
      if (it instanceof SVGElement && !(it instanceof SVGSVGElement)) continue;
      if (it instanceof SVGSVGElement && it.querySelector('rect')) return getComputedStyle(it.querySelector('rect')).fill;
      const colour = getComputedStyle(it).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('script, style, [hidden]')) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [light, dark] = [luminance(ink), luminance(ground(element))].sort((one, other) => other - one);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.add(`contrast ${ratio.toFixed(2)}: ${element.tagName} "${walker.currentNode.data.trim().slice(0, 40)}"`);
  }
  let used = 0;
  for (const element of document.querySelectorAll('a, button, input, summary, form, svg, [tabindex], [role]')) {
    used += 1;
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(' ');
    const own = ['A', 'BUTTON', 'SUMMARY'].includes(element.tagName) ? element.textContent : '';
    if (!`${element.getAttribute('aria-label') ?? ''}${labels}${own}`.trim()) found.add(`no name: ${element.outerHTML.slice(0, 80)}`);
  }
  const inputs = [...document.querySelectorAll('input')].map((input) => input.getBoundingClientRect());
  inputs.forEach((one, index) => inputs.slice(index + 1).forEach((other) => {
    const apart = one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;
    if (!apart) found.add(`inputs lie on each other at ${Math.round(other.left)}, ${Math.round(other.top)}`);
  }));
  if (document.documentElement.scrollWidth > innerWidth) found.add(`${document.documentElement.scrollWidth} wide in a window of ${innerWidth}`);
  const result = document.createElement('pre');
  result.id = 'audit';
  const scheme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  result.textContent = `${scheme}, ${texts > 20 && used > 10 ? 'seen' : 'empty'}, ${found.size} found\n${[...found].join('\n')}`;
  document.body.append(result);
}
