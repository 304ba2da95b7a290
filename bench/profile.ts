/** Where the time goes: CPU profiles of the subjects, and their summary. `npm run bench -- --profile FOLDER`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';

/** By this variable a subject's process is told where to write its profile. */
export const PROFILE_FOLDER = 'BENCH_PROFILE';

/** The part of V8's profile that is looked at. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** The node that was found running, at each look. */
  readonly samples: readonly number[];
  /** Microseconds since the look before. */
  readonly timeDeltas: readonly number[];
}

const INTERVAL_MICROS = 100;
/** A look that comes later than that says that the process was stopped, and not what it did. */
const STOPPED_MICROS = 100 * INTERVAL_MICROS;

/** Profiles this process from now on. @returns ends it, and writes the profile down for Chrome's developer tools */
export function startProfile(folder: string, name: string): () => void {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
  session.post('Profiler.start');
  return () => {
    session.post('Profiler.stop', (error, answer) => {
      if (error) throw error;
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `${name.replaceAll(/[^\w.+-]+/g, '-')}.cpuprofile`), JSON.stringify(answer.profile));
    });
  };
}

/** Whose code it is: thawpool's, a package's, Node.js' own, V8's, or the benchmark's. */
function ownerOf(url: string, functionName: string): string {
  if (functionName === '(garbage collector)') return 'garbage collector';
  const [, ...packages] = url.split('/node_modules/');
  const inPackage = packages.at(-1);
  if (inPackage !== undefined) return inPackage.split('/', inPackage.startsWith('@') ? 2 : 1).join('/');
  if (url === '' || url.startsWith('node:') || url.startsWith('wasm:')) return 'Node.js';
  return /\/(?:bench|test)\//.test(url) ? 'benchmark' : 'thawpool';
}

/** Nobody's, or the profiler's own. */
const notWork = ({ functionName, url }: { readonly functionName: string; readonly url: string }): boolean =>
  functionName === '(idle)' || functionName === '(root)' || url === 'node:inspector';

/** Adds up. @returns the largest first */
function sums(entries: Iterable<readonly [string, number]>): (readonly [string, number])[] {
  const total = new Map<string, number>();
  for (const [key, value] of entries) total.set(key, (total.get(key) ?? 0) + value);
  return [...total].toSorted(([, one], [, other]) => other - one);
}

/** Says of a profile which share of the time at work was whose, and which functions took most of it by themselves. */
export function profileText(title: string, { nodes, samples, timeDeltas }: CpuProfile, functions = 12): string {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const work = samples.flatMap((id, at) => {
    const frame = frames.get(id);
    const micros = timeDeltas[at] ?? 0;
    if (frame === undefined || notWork(frame) || micros > STOPPED_MICROS) return [];
    const owner = ownerOf(frame.url, frame.functionName);
    const file = frame.url.split('/').slice(-2).join('/');
    const place = file === '' ? '' : ` ${file}:${frame.lineNumber + 1}`;
    return [{ owner, place: `${frame.functionName || '(anonymous)'}${place}`, micros }];
  });
  const whole = work.reduce((sum, { micros }) => sum + micros, 0);
  const line = ([name, micros]: readonly [string, number]): string =>
    `  ${((100 * micros) / whole).toFixed(1).padStart(5)} %  ${name}`;
  const owners = sums(work.map(({ owner, micros }) => [owner, micros]));
  const places = sums(work.map(({ place, micros }) => [place, micros]));
  return [title, ...owners.map(line), '', ...places.slice(0, functions).map(line), ''].join('\n');
}

/** Renders every profile of a folder. */
export function profilesText(folder: string): string {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.cpuprofile'))
    .toSorted()
    .map((file) => profileText(file, JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile))
    .join('\n');
}
