import { openContext } from './context.ts';
const [name='core', quick='quick'] = process.argv.slice(2);
const section = (await import(`./sections/${name}.ts`))[name.replace(/-(.)/g, (_: string, c: string) => c.toUpperCase())];
await using context = openContext(quick === 'quick', (text) => { if (!/ of /.test(text)) console.error(Date.now() % 1000000, text); });
const { cases, figures } = await section.run(context);
for (const c of cases) { console.log(c.title, c.unit, c.rounds); for (const r of c.rows) console.log('   ', r.subject.padEnd(40), r.median.toPrecision(4), r.low.toPrecision(3), r.high.toPrecision(3), r.ratio?.median.toFixed(3) ?? ''); }
for (const f of figures) console.log(f.title, f.median.toFixed(3), f.low.toFixed(3), f.high.toFixed(3), JSON.stringify(f.target), f.pass);
