/** `mesh demo herd` and `mesh demo philosophers` */
import type { Command } from 'commander';
import type { HerdDocument, PhilosophersDocument } from '@thermomesh/contracts';
import type { MeshConfig } from '../config.ts';
import { demonstrateHerd } from '../demo/herd.ts';
import { demonstratePhilosophers } from '../demo/philosophers.ts';
import { show, showMs, table } from '../view/table.ts';
import { perform, placeHelp, progress, withHosts, type PlaceFlags } from './demo-place.ts';
import { numberWithin, wholeNumber } from './options.ts';

interface HerdFlags extends PlaceFlags {
  nodes: number;
  kills: number;
}
interface PhilosophersFlags extends PlaceFlags {
  seconds: number;
}

const nodesMax = 500;
const herdHelp = `
The same number of candidates stand for election in two ways, each with a session of its own, and the leader dies as often as --kills
says: its connection is cut without a word, so its session ends by its timeout. In the herd-free way each candidate watches only the one
before it; in the simple way all of them watch the leader. Counted, not computed: how often a watch woke a candidate, and the requests
that the survivors made from each death until all of them were at rest again.
${placeHelp}

Exit code: 1 if a death is not followed by one leader of a higher epoch, or wakes more than one candidate in the herd-free way.

Examples:
  mesh demo herd
  mesh demo herd --nodes 200 --kills 5 --json`;

const philosophersHelp = `
Five processes share five forks, which are fenced locks in ZooKeeper. naive takes the left fork, then the right one: soon each waits for
its neighbour, which is read from the queues of the locks and shown; then one process is killed, and the others eat. ordered takes the
fork with the lower number first, semaphore lets four at a time reach for forks: they never deadlock, and nobody starves, because each
lock serves in the order of arrival. Every taking and putting back is written to an append-only file with the epoch of its lease, and
judged afterwards: no epoch may act on a fork after a later one.
${placeHelp}

Exit code: 1 if the naive order does not deadlock or a death does not free the others, one of ours deadlocks, somebody starves, or a
fork was held by two at once.

Examples:
  mesh demo philosophers
  mesh demo philosophers --seconds 60 --json`;

/** Adds them to `mesh demo`. */
export function addZooKeeperDemos(demo: Command, config: () => MeshConfig): void {
  withHosts(demo.command('herd'))
    .description('one death, one candidate woken; and what the simple election wakes')
    .option('--nodes <n>', 'candidates', wholeNumber(2, nodesMax), 50)
    .option('--kills <n>', 'leaders that die, one after another', wholeNumber(1, nodesMax - 1), 3)
    .addHelpText('after', herdHelp)
    .action(async (flags: HerdFlags) => {
      const kills = Math.min(flags.kills, flags.nodes - 1);
      const { nodes } = flags;
      await perform(config(), flags, renderHerd, async (place, signal) =>
        demonstrateHerd(place, { nodes, kills, signal, onProgress: progress }),
      );
    });
  withHosts(demo.command('philosophers'))
    .description('five processes, five forks: a deadlock, and two ways that have none')
    .option('--seconds <n>', 'of each way that does not deadlock', numberWithin(0.5, 3_600), 10)
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
    `${ok ? 'PASSED' : 'FAILED'}: five processes, ${seconds} s for each order of ours`,
    table(head, rows, colours),
    naive === null || naive === undefined
      ? 'the naive order met no deadlock this time'
      : `the deadlock ended with the process of philosopher ${show(naive.ended)}: ${naive.mealsAfter} meals of the others after it`,
    ...arms.flatMap(({ name, record }) => record.findings.map((finding) => `${name}: ${finding}`)),
  ].join('\n');
}
