/** Places in a queue: names of sequential nodes `<kind>-<guid>-<sequence>`. Pure. */
import { compareSequence, sequenceOf } from '../client/paths.ts';

export interface Ticket {
  name: string;
  kind: string;
  guid: string;
  sequence: number;
}

const guidPattern = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const ticketPattern = new RegExp(`^([a-z]+)-(${guidPattern})-(-?[0-9]{9,10})$`);

/** What is asked for: the server puts the sequence behind it. */
export function ticketPrefix(kind: string, guid: string): string {
  return `${kind}-${guid}-`;
}

/** Undefined if the name is none of ours. */
export function parseTicket(name: string): Ticket | undefined {
  const [, kind, guid] = ticketPattern.exec(name) ?? [];
  const sequence = sequenceOf(name);
  return kind === undefined || guid === undefined || sequence === undefined
    ? undefined
    : { name, kind, guid, sequence };
}

/** In the order in which they were drawn; names that are no tickets are left out. */
export function ticketsIn(names: readonly string[]): Ticket[] {
  return names
    .map(parseTicket)
    .filter((ticket) => ticket !== undefined)
    .sort((left, right) => compareSequence(left.sequence, right.sequence));
}

/** True if `other`, drawn before mine, keeps mine waiting. */
export type Blocks = (other: Ticket, mine: Ticket) => boolean;

export const everyoneBlocks: Blocks = () => true;

/** Readers wait for writers only, writers for everybody. */
export const writersBlock: Blocks = (other, mine) => mine.kind === 'write' || other.kind === 'write';

export interface Standing {
  /** How many are before me. */
  position: number;
  /** The last of those that keep me waiting: the one to watch. Undefined: it is my turn. */
  blocker: Ticket | undefined;
  /** My own tickets besides this one: a create that was thought to have failed, and had not. */
  strays: Ticket[];
}

/** Where `mine` stands; undefined if it is not there. */
export function standingOf(names: readonly string[], mine: string, blocks: Blocks): Standing | undefined {
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
