/** The rounds of a double barrier. Pure. */

/**
 * The parties that are present, in the order of arrival. A party is present once: it never comes
 * back under the same name.
 */
export interface Attendance {
  name: string;
  id: string;
  /** True after the party has called `leave`. */
  left: boolean;
}

/** The one document that all parties agree on. */
export interface Round {
  round: number;
  phase: 'gathering' | 'running';
  /** The number of parties in a round. */
  parties: number;
  /** The members of this round; while gathering, those of the previous round. */
  members: readonly { name: string; id: string }[];
  /** Ids of the members of the previous round that disappeared before all were done. */
  lost: readonly string[];
}

export function firstRound(parties: number): Round {
  return { round: 1, phase: 'gathering', parties, members: [], lost: [] };
}

/** The next step: write another document, or wait for a party. */
export type Outlook = { type: 'turn'; next: Round } | { type: 'wait'; for: string | undefined };

/**
 * Decides the next step. A round begins when enough parties have come and no member of the previous
 * round is left: a slow member must read how its own round ended, not a later one. A round ends
 * when each of its members is done or gone. A party that comes late waits for the next round.
 *
 * @param me the party that looks. Of the members that it waits for, each party watches the one
 *   behind itself, so that no party is watched by all
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
  // Each new party looks for itself: there is nothing to watch but the document.
  if (ready.length < round.parties) return { type: 'wait', for: undefined };
  const members = ready.slice(0, round.parties).map(({ name, id }) => ({ name, id }));
  return { type: 'turn', next: { ...round, phase: 'running', members, lost: [] } };
}

function behind(candidates: Round['members'], members: Round['members'], me: string): string | undefined {
  const from = members.findIndex(({ name }) => name === me) + 1;
  const order = [...members.slice(from), ...members.slice(0, from)];
  return order.find(({ name }) => name !== me && candidates.some((each) => each.name === name))?.name;
}

/** Where a party stands; `inside` and `ended` refer to the round that it belongs to. */
export function placeOf(round: Round, me: string): 'outside' | 'inside' | 'ended' {
  if (!round.members.some(({ name }) => name === me)) return 'outside';
  return round.phase === 'running' ? 'inside' : 'ended';
}
