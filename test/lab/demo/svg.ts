/** The little of SVG and HTML that the report needs. Pure. */

/** Makes text safe inside an element or an attribute. */
export function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  // Control characters other than tab and line ends have no place in XML at all (XML 1.0, 2.2).
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '').replace(/[&<>"]/g, (character) => entities[character] ?? '');
}

/** Makes an element; numbers are rounded to a tenth of a pixel. `content` is markup. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...content: readonly string[]
): string {
  const pairs = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === 'number' ? String(Math.round(value * 10) / 10) : escapeXml(value);
    return ` ${key}="${text}"`;
  });
  const open = `<${name}${pairs.join('')}`;
  return content.length === 0 ? `${open}/>` : `${open}>${content.join('')}</${name}>`;
}

/** Makes a text element. */
export function label(
  x: number,
  y: number,
  kind: string,
  text: string,
  more: Readonly<Record<string, string | number>> = {},
): string {
  return element('text', { x, y, class: kind, ...more }, escapeXml(text));
}
