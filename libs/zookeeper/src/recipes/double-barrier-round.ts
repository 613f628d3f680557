/** The rounds of a double barrier. Pure. */

/** Who is there, in the order of arrival. A party is there once: it never comes back under the same name. */
export interface Attendance {
  name: string;
  id: string;
  /** It has said that it is done. */
  left: boolean;
}

/** The one document that everybody agrees on. */
export interface Round {
  round: number;
  phase: 'gathering' | 'running';
  /** How many it takes. */
  parties: number;
  /** Names of those of this round; while gathering, of the round before. */
  members: readonly { name: string; id: string }[];
  /** Ids of those of the round before that vanished before all were done. */
  lost: readonly string[];
}

export function firstRound(parties: number): Round {
  return { round: 1, phase: 'gathering', parties, members: [], lost: [] };
}

/** What has to happen next: another document, or something that a party has to go first. */
export type Outlook = { type: 'turn'; next: Round } | { type: 'wait'; for: string | undefined };

/**
 * A round begins when enough have come and nobody of the round before is still there: who is slow in leaving reads how its own round
 * ended, not a later one. It ends when each of its members is done or gone; whoever comes late waits for the next one.
 *
 * @param me whose view it is: of those that are waited for, each looks at the one behind itself, so that nobody is watched by all
 */
export function outlook(round: Round, present: readonly Attendance[], me: string): Outlook {
  const byName = new Map(present.map((party) => [party.name, party]));
  if (round.phase === 'running') {
    const pending = round.members.filter(({ name }) => byName.get(name)?.left === false);
    if (pending.length > 0) return { type: 'wait', for: behind(pending, round.members, me) };
    const lost = round.members.filter(({ name }) => !byName.has(name)).map(({ id }) => id);
    return { type: 'turn', next: { ...round, round: round.round + 1, phase: 'gathering', lost } };
  }
  const lingering = round.members.filter(({ name }) => byName.has(name));
  if (lingering.length > 0) return { type: 'wait', for: behind(lingering, round.members, me) };
  const ready = present.filter(({ left }) => !left);
  // Each arrival looks for itself: there is nothing to watch but the document.
  if (ready.length < round.parties) return { type: 'wait', for: undefined };
  const members = ready.slice(0, round.parties).map(({ name, id }) => ({ name, id }));
  return { type: 'turn', next: { ...round, phase: 'running', members, lost: [] } };
}

function behind(candidates: Round['members'], members: Round['members'], me: string): string | undefined {
  const from = members.findIndex(({ name }) => name === me) + 1;
  const order = [...members.slice(from), ...members.slice(0, from)];
  return order.find(({ name }) => name !== me && candidates.some((each) => each.name === name))?.name;
}

/** What one party has to know. `entered` and `ended` are of the round that it belongs to. */
export function placeOf(round: Round, me: string): 'outside' | 'inside' | 'ended' {
  if (!round.members.some(({ name }) => name === me)) return 'outside';
  return round.phase === 'running' ? 'inside' : 'ended';
}
