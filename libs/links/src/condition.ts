/** The condition of a link: what it does to the bytes that pass it. */
import Type, { type Static } from 'typebox';

/**
 * - `pass`: everything arrives, after `delayMs` and at `bytesPerSecond`.
 * - `cut`: connections are reset and new ones refused, as when a process or a host is gone.
 * - `stall`: nothing arrives and connections stay open, as behind a firewall that drops packets.
 */
export const LinkState = Type.Union([Type.Literal('pass'), Type.Literal('cut'), Type.Literal('stall')]);
export type LinkState = Static<typeof LinkState>;

/** The direction of a stall. `forward` is from the end that dials to the end that is dialled. */
export const LinkDirection = Type.Union([
  Type.Literal('both'),
  Type.Literal('forward'),
  Type.Literal('backward'),
]);
export type LinkDirection = Static<typeof LinkDirection>;

export const LinkCondition = Type.Object(
  {
    state: LinkState,
    /** The direction that a stall blocks; a cut always blocks both. */
    direction: LinkDirection,
    /** Delay that is added in each direction. */
    delayMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
    /** Rate of each direction of each connection; null means no limit. */
    bytesPerSecond: Type.Union([Type.Integer({ minimum: 1, maximum: 1_000_000_000 }), Type.Null()]),
  },
  { additionalProperties: false },
);
export type LinkCondition = Static<typeof LinkCondition>;

/** Conditions by the name of the link. */
export const LinkConditions = Type.Record(Type.String(), LinkCondition);
export type LinkConditions = Static<typeof LinkConditions>;

/** The condition of a healthy link. */
export const passing: LinkCondition = { state: 'pass', direction: 'both', delayMs: 0, bytesPerSecond: null };

/** True if the condition holds back the bytes of `direction`. */
export function blocks(condition: LinkCondition, direction: 'forward' | 'backward'): boolean {
  return condition.state === 'stall' && (condition.direction === 'both' || condition.direction === direction);
}

/** Describes the condition in words, for people and timelines. */
export function describeCondition({ state, direction, delayMs, bytesPerSecond }: LinkCondition): string {
  const slow = [
    ...(delayMs > 0 ? [`${delayMs} ms late`] : []),
    ...(bytesPerSecond === null ? [] : [`${bytesPerSecond} bytes/s`]),
  ];
  if (state === 'pass') return slow.length === 0 ? 'passes' : slow.join(', ');
  if (state === 'cut') return 'cut';
  return direction === 'both' ? 'drops in silence' : `drops in silence, ${direction} only`;
}
