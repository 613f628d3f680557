/** `mesh demo herd` and `mesh demo philosophers` */
import type { Command } from 'commander';
import type { HerdDocument, PhilosophersDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { demonstrateHerd } from '../demos/herd.ts';
import { demonstratePhilosophers } from '../demos/philosophers.ts';
import { perform, placeHelp, progress, withHosts, type PlaceFlags } from './demo-place.ts';
import { numberWithin, wholeNumber } from './options.ts';
import { show, showMs, table } from './view/table.ts';

interface HerdFlags extends PlaceFlags {
  nodes: number;
  kills: number;
}
interface PhilosophersFlags extends PlaceFlags {
  seconds: number;
}

const nodesMax = 500;
const herdHelp = `
Two elections with the same number of candidates, each with a session of its own. The leader dies
as often as --kills: its connection is cut silently, so its session expires. In the herd-free
election each candidate watches only the candidate before it; in the simple one all of them watch
the leader. The demonstration counts how often a watch woke a candidate, and how many requests the
survivors made from each death until all of them were at rest again.
${placeHelp}

Exit code: 1 if a death is not followed by one leader of a higher epoch, or wakes more than one
candidate of the herd-free election.

Examples:
  mesh demo herd
  mesh demo herd --nodes 200 --kills 5 --json`;

const philosophersHelp = `
Five processes share five forks, which are fenced locks in ZooKeeper.
  naive      takes the left fork, then the right one. Soon each process waits for its neighbour. The
             demonstration reads this circle from the queues of the locks and kills one process;
             then the others eat.
  ordered    takes the fork with the lower number first.
  semaphore  lets four processes at a time reach for forks.
The last two never deadlock, and no process starves, because each lock serves in the order of
arrival. Each take and release is appended to a file with the epoch of its lease, and judged
afterwards: no epoch may act on a fork after a later one.
${placeHelp}

Exit code: 1 if the naive order does not deadlock or a death does not free the others, ordered or
semaphore deadlocks, a process starves, or two processes held one fork at the same time.

Examples:
  mesh demo philosophers
  mesh demo philosophers --seconds 60 --json`;

/** Adds these commands to `mesh demo`. */
export function addZooKeeperDemos(demo: Command, config: () => MeshConfig): void {
  withHosts(demo.command('herd'))
    .description('kill a leader: how many candidates wake, herd-free and in the simple election')
    .option('--nodes <n>', 'number of candidates', wholeNumber(2, nodesMax), 50)
    .option('--kills <n>', 'number of leaders that die, one after another', wholeNumber(1, nodesMax - 1), 3)
    .addHelpText('after', herdHelp)
    .action(async (flags: HerdFlags) => {
      const kills = Math.min(flags.kills, flags.nodes - 1);
      const { nodes } = flags;
      await perform(config(), flags, renderHerd, async (place, signal) =>
        demonstrateHerd(place, { nodes, kills, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('philosophers'))
    .description('five processes and five forks: one order deadlocks, two do not')
    .option('--seconds <n>', 'duration of each order that does not deadlock', numberWithin(0.5, 3_600), 10)
    .addHelpText('after', philosophersHelp)
    .action(async (flags: PhilosophersFlags) => {
      const { seconds } = flags;
      await perform(config(), flags, renderPhilosophers, async (place, signal) =>
        demonstratePhilosophers(place, { seconds, signal, onProgress: progress }),
      );
    });
}

function renderHerd({ ok, nodes, kills, arms }: HerdDocument, colours: boolean): string {
  const rows = arms.map((arm) => [
    arm.name,
    arm.leaders,
    arm.wakeUps,
    arm.wakeUpsMax,
    arm.requests,
    arm.requestsMax,
    arm.breaks,
  ]);
  const head = ['election', 'leaders', 'wake-ups', 'of one death', 'requests', 'after one death', 'breaks'];
  return [
    `${ok ? 'PASSED' : 'FAILED'}: ${nodes} candidates, ${kills} dead leaders one after another`,
    table(head, rows, colours),
  ].join('\n');
}

function renderPhilosophers({ ok, seconds, arms }: PhilosophersDocument, colours: boolean): string {
  const rows = arms.map(({ name, deadlock, meals, longestWaitMs, starved, record }) => [
    name,
    deadlock === null ? 'none' : deadlock.cycle.join(' → '),
    meals.join(' '),
    showMs(Math.max(...longestWaitMs.map((wait) => wait ?? 0))),
    starved,
    record.acts,
    record.violations,
  ]);
  const naive = arms.find(({ name }) => name === 'naive')?.deadlock;
  const head = ['order', 'deadlock', 'meals', 'longest wait', 'starved', 'acts', 'held by two'];
  return [
    `${ok ? 'PASSED' : 'FAILED'}: five processes, ${seconds} s for each order that must not deadlock`,
    table(head, rows, colours),
    naive === null || naive === undefined
      ? 'the naive order met no deadlock this time'
      : `the deadlock ended when the process of philosopher ${show(naive.ended)} was killed: the others had ${naive.mealsAfter} meals after that`,
    ...arms.flatMap(({ name, record }) => record.findings.map((finding) => `${name}: ${finding}`)),
  ].join('\n');
}
