/** Decides which member leads which partition. Pure. */

/** For each partition, the member that must lead it; undefined while the group is empty. */
export type Assignment = readonly (string | undefined)[];

/**
 * Balances the partitions (the counts of two members differ by at most one) with as few moves as
 * that allows. Every member keeps what it has up to its share, and the members that have most get
 * the larger shares. The same arguments give the same result, whatever the order of `members`.
 */
export function assign(previous: Assignment, members: readonly string[], partitions: number): Assignment {
  if (members.length === 0) return Array.from({ length: partitions }, () => undefined);
  const had = new Map<string, number[]>([...new Set(members)].sort().map((member) => [member, []]));
  for (let partition = 0; partition < partitions; partition += 1) {
    const owner = previous[partition];
    if (owner !== undefined) had.get(owner)?.push(partition);
  }
  const byHoldings = [...had].sort(([, left], [, right]) => right.length - left.length);
  const share = Math.floor(partitions / had.size);
  const larger = partitions % had.size;
  const result = new Array<string | undefined>(partitions).fill(undefined);
  const wanting: string[] = [];
  for (const [index, [member, held]] of byHoldings.entries()) {
    const quota = share + (index < larger ? 1 : 0);
    for (const partition of held.slice(0, quota)) result[partition] = member;
    for (let missing = held.length; missing < quota; missing += 1) wanting.push(member);
  }
  let next = 0;
  return result.map((owner) => owner ?? wanting[next++]);
}
