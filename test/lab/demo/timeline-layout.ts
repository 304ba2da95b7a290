/** Where things are in the picture. Pure. */
import type { PhaseSpan } from './model.ts';

/** Sizes in the picture's own pixels. */
export const SIZE = {
  width: 1000,
  left: 148,
  right: 52,
  gap: 8,
  phaseTop: 84,
  faultTop: 121,
  laneTop: 130,
  laneHeight: 112,
  /** Below each lane, for the ticks of opened connections. */
  strip: 11,
  laneGap: 20,
  footer: 56,
} as const;

/** What a panel keeps at least, so that its title has room. */
const NARROWEST = 74;
/** Latencies below this are drawn like it, and those above like the other. */
const LOWEST_MILLIS = 1;
const HIGHEST_MILLIS = 3000;
const LOWEST_BAR = 3;

/** A phase's place. Each has a scale of its own: seconds of waiting would leave no room for milliseconds of work. */
export interface Panel {
  readonly phase: PhaseSpan;
  readonly x: number;
  readonly width: number;
  /** Turns a time into a place within this panel. */
  at(time: number): number;
}

/** Places the phases side by side: the longer a phase, the wider, but less than in proportion. */
export function panelsOf(phases: readonly PhaseSpan[]): readonly Panel[] {
  const room = SIZE.width - SIZE.left - SIZE.right - SIZE.gap * Math.max(0, phases.length - 1);
  const weights = phases.map(({ from, to }) => Math.sqrt(Math.max(1, to - from)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const wanted = weights.map((weight) => Math.max(NARROWEST, (weight / sum) * room));
  // What the narrow ones are given the wide ones lack.
  const excess = wanted.reduce((total, width) => total + width, 0) - room;
  const spare = wanted.reduce((total, width) => total + Math.max(0, width - NARROWEST), 0);
  let x: number = SIZE.left;
  return phases.map((phase, index) => {
    const asked = wanted[index] ?? NARROWEST;
    const width = spare > 0 ? asked - (excess * Math.max(0, asked - NARROWEST)) / spare : asked;
    const panel = panelAt(phase, x, width);
    x += width + SIZE.gap;
    return panel;
  });
}

function panelAt(phase: PhaseSpan, x: number, width: number): Panel {
  const length = Math.max(1, phase.to - phase.from);
  return {
    phase,
    x,
    width,
    at: (time) => x + Math.min(1, Math.max(0, (time - phase.from) / length)) * width,
  };
}

/** How tall the bar of an invocation is: its latency on a logarithmic scale. */
export function barHeight(millis: number): number {
  const share = Math.log(millis / LOWEST_MILLIS) / Math.log(HIGHEST_MILLIS / LOWEST_MILLIS);
  return Math.max(LOWEST_BAR, Math.min(1, share) * SIZE.laneHeight);
}

/** The top of a lane, from 0. */
export function laneTop(index: number): number {
  return SIZE.laneTop + index * (SIZE.laneHeight + SIZE.strip + SIZE.laneGap);
}

/** The height of a picture with so many lanes. */
export function pictureHeight(lanes: number): number {
  return laneTop(lanes) - SIZE.laneGap + SIZE.footer;
}

/** Breaks a title into two lines where one is too long for `width`. */
export function titleLines(title: string, width: number): readonly string[] {
  const characterWidth = 6.6; // Of the bold 12 px text, measured.
  if (title.length * characterWidth <= width) return ['', title];
  const words = title.split(' ');
  const longer = (at: number) => Math.max(words.slice(0, at).join(' ').length, words.slice(at).join(' ').length);
  const places = words.map((_, at) => at).slice(1);
  const best = places.toSorted((a, b) => longer(a) - longer(b))[0] ?? words.length;
  return [words.slice(0, best).join(' '), words.slice(best).join(' ')];
}
