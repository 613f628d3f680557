/** What can be wrong with a link. */
import Type, { type Static } from 'typebox';

/**
 * `pass`: everything arrives, after `delayMs` and at `bytesPerSecond` if they say so. `cut`: connections are reset and new ones
 * refused, as when a process or a host is gone. `stall`: nothing arrives and nobody is told, as behind a firewall that drops.
 */
export const LinkState = Type.Union([Type.Literal('pass'), Type.Literal('cut'), Type.Literal('stall')]);
export type LinkState = Static<typeof LinkState>;

/** Of a stall. `forward` is from the end that dials to the end that is dialled. */
export const LinkDirection = Type.Union([
  Type.Literal('both'),
  Type.Literal('forward'),
  Type.Literal('backward'),
]);
export type LinkDirection = Static<typeof LinkDirection>;

export const LinkCondition = Type.Object(
  {
    state: LinkState,
    /** Which way a stall drops; a cut is always both ways. */
    direction: LinkDirection,
    /** Added to each direction. */
    delayMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
    /** Each direction of each connection; null is as fast as the machine. */
    bytesPerSecond: Type.Union([Type.Integer({ minimum: 1, maximum: 1_000_000_000 }), Type.Null()]),
  },
  { additionalProperties: false },
);
export type LinkCondition = Static<typeof LinkCondition>;

/** By the name of the link. */
export const LinkConditions = Type.Record(Type.String(), LinkCondition);
export type LinkConditions = Static<typeof LinkConditions>;

/** Nothing is wrong. */
export const passing: LinkCondition = { state: 'pass', direction: 'both', delayMs: 0, bytesPerSecond: null };

/** True if bytes of `direction` stay where they are. */
export function blocks(condition: LinkCondition, direction: 'forward' | 'backward'): boolean {
  return condition.state === 'stall' && (condition.direction === 'both' || condition.direction === direction);
}

/** In words, for people and timelines. */
export function describeCondition({ state, direction, delayMs, bytesPerSecond }: LinkCondition): string {
  const slow = [
    ...(delayMs > 0 ? [`${delayMs} ms late`] : []),
    ...(bytesPerSecond === null ? [] : [`${bytesPerSecond} bytes/s`]),
  ];
  if (state === 'pass') return slow.length === 0 ? 'passes' : slow.join(', ');
  if (state === 'cut') return 'cut';
  return direction === 'both' ? 'drops in silence' : `drops in silence, ${direction} only`;
}
