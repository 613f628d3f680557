/** Places in a queue are names of sequential nodes: `<kind>-<guid>-<sequence>`. Pure. */
import { compareSequence, sequenceOf } from '../../client/paths.ts';

export interface Ticket {
  name: string;
  kind: string;
  guid: string;
  sequence: number;
}

const guidPattern = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const ticketPattern = new RegExp(`^([a-z]+)-(${guidPattern})-(-?[0-9]{9,10})$`);

/** The name to ask for; the server appends the sequence. */
export function ticketPrefix(kind: string, guid: string): string {
  return `${kind}-${guid}-`;
}

/** Parses a node name; undefined if it is not a ticket. */
export function parseTicket(name: string): Ticket | undefined {
  const [, kind, guid] = ticketPattern.exec(name) ?? [];
  const sequence = sequenceOf(name);
  return kind === undefined || guid === undefined || sequence === undefined
    ? undefined
    : { name, kind, guid, sequence };
}

/** The tickets in the order in which they were drawn; other names are left out. */
export function ticketsIn(names: readonly string[]): Ticket[] {
  return names
    .map(parseTicket)
    .filter((ticket) => ticket !== undefined)
    .sort((left, right) => compareSequence(left.sequence, right.sequence));
}

/** True if `other`, drawn before mine, keeps mine waiting. */
export type Blocks = (other: Ticket, mine: Ticket) => boolean;

export const everyoneBlocks: Blocks = () => true;

/** Readers wait for writers only; writers wait for all. */
export const writersBlock: Blocks = (other, mine) => mine.kind === 'write' || other.kind === 'write';

export interface QueuePosition {
  /** The number of tickets before mine. */
  position: number;
  /**
   * The last of the tickets that block mine, which is the one to watch. Undefined when it is my
   * turn.
   */
  blocker: Ticket | undefined;
  /** Further tickets of mine, from a create that seemed to have failed but had not. */
  strays: Ticket[];
}

/** The position of `mine` in the queue; undefined if it is not there. */
export function positionOf(
  names: readonly string[],
  mine: string,
  blocks: Blocks,
): QueuePosition | undefined {
  const tickets = ticketsIn(names);
  const position = tickets.findIndex(({ name }) => name === mine);
  const me = tickets[position];
  if (me === undefined) return undefined;
  return {
    position,
    blocker: tickets.slice(0, position).findLast((other) => blocks(other, me)),
    strays: tickets.filter(({ guid, name }) => guid === me.guid && name !== me.name),
  };
}
