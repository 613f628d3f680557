/** `mesh status` and the live view of `mesh up` as readable text. */
import type { Accounts, DrainView, StatusDocument } from '@thermomesh/contracts';
import { maskPassword, show, table } from './table.ts';

export interface StatusView {
  document: StatusDocument;
  /** Epoch and role by node name, for the nodes that answer. */
  nodes: Record<string, { role: string; epoch: number | null }>;
  /** Number of messages in the gateway's store. */
  backlog: number | null;
  rowsPerSecond: number | null;
}

/** Renders the table of processes. */
export function renderProcesses(view: StatusView, colours: boolean): string {
  const rows = view.document.processes.map(({ name, role, pid, ready, url }) => {
    const node = view.nodes[name];
    const isCoordinator = node?.role === 'coordinator';
    return [
      name,
      node?.role ?? role,
      show(node?.epoch),
      ready ? 'ready' : pid === null ? 'down' : 'not ready',
      role === 'gateway' ? show(view.backlog) : '',
      isCoordinator ? show(view.rowsPerSecond) : '',
      show(pid),
      show(url),
    ];
  });
  return table(['process', 'role', 'epoch', 'state', 'backlog', 'rows/s', 'pid', 'url'], rows, colours);
}

/** Renders one line about I6. */
export function renderAccounts(accounts: Accounts): string {
  const { accepted, stored, duplicate, rejected, buffered, acceptedGap, inFlight, balanced } = accounts;
  const verdict = balanced === null ? 'unknown' : balanced ? 'balanced' : 'NOT BALANCED';
  const gap = acceptedGap === undefined ? '' : ` + accepted gap ${acceptedGap}`;
  const sum = `accepted ${show(accepted)} = stored ${show(stored)} + duplicate ${show(duplicate)} + rejected ${show(rejected)} + buffered ${show(buffered)}${gap}`;
  return `accounts (I6): ${verdict}: ${sum} (in flight at most ${show(inFlight)})`;
}

/** Renders a line about readings at QoS 0, which are outside I6, if there were any. */
export function renderQos0({ qos0 }: Accounts): string[] {
  if (qos0 === undefined || qos0.account === null) return [];
  const { relayed, stored, duplicate, rejected, dropped } = qos0.account;
  const counts = [
    ...(relayed > 0 ? [`${relayed} not stored (publish at QoS 1, or set QOS0=store at the gateway)`] : []),
    ...(stored + duplicate + rejected > 0
      ? [`stored ${stored}, duplicate ${duplicate}, rejected ${rejected}`]
      : []),
    ...(dropped > 0 ? [`${dropped} dropped, because a queue was full`] : []),
  ];
  return counts.length === 0 ? [] : [`readings at QoS 0, outside I6: ${counts.join('; ')}`];
}

/** Renders a line if the drain waits at a gap. */
export function renderGap(drain: DrainView | null | undefined): string[] {
  const gap = drain?.gap ?? null;
  if (gap === null) return [];
  const range = `log ids ${gap.fromLogId} to ${gap.toLogId}`;
  return [
    `drain: STOPPED: ${gap.messages} acknowledged messages (${range}) are missing in the database, and the gateway ` +
      'no longer has them; restore a newer database, or accept the loss: mesh drain accept-gap',
  ];
}

/** Renders one line if ZooKeeper has answered. */
function renderMembers(members: StatusDocument['members']): string[] {
  if (members === null || members === undefined) return [];
  const each = members.map(({ node, flavour, version, fit, leads }) => {
    const what = [flavour, version].filter((word) => word !== null).join(' ');
    const said = [fit ? 'fit' : 'unfit', ...(leads === null ? [] : [`leads epoch ${leads}`])];
    return `node ${node} (${[...(what === '' ? [] : [what]), ...said].join(', ')})`;
  });
  return [`members (ZooKeeper): ${each.length === 0 ? 'none' : each.join(', ')}`];
}

function renderCoordinator(coordinator: StatusDocument['coordinator']): string {
  return coordinator === null ? 'none' : `node ${coordinator.node}, epoch ${coordinator.epoch}`;
}

/** Renders the whole output of `mesh status`. */
export function renderStatus(view: StatusView, colours: boolean): string {
  const { document } = view;
  const coordinator = document.coordinator;
  return [
    `mesh ${document.name}: ${document.ready ? 'ready' : 'not ready'}`,
    `coordinator: ${renderCoordinator(coordinator)}`,
    ...(document.processes.some(({ role }) => role === 'equalizer')
      ? [`coordinator of the equalizer: ${renderCoordinator(document.equalizerCoordinator)}`]
      : []),
    `MQTT ${show(document.mqttUrl)}   HTTP ${show(document.httpUrl)}   SQL ${maskPassword(document.databaseUrl)}   Redis ${maskPassword(document.redisUrl)}`,
    ...(document.zookeeperHosts === null && document.kafkaBrokers === null
      ? []
      : [`ZooKeeper ${show(document.zookeeperHosts)}   Kafka ${show(document.kafkaBrokers)}`]),
    ...(document.processes.length === 0 ? [] : [renderProcesses(view, colours)]),
    ...renderMembers(document.members),
    ...renderGap(document.drain),
    renderAccounts(document.accounts),
    ...renderQos0(document.accounts),
  ].join('\n');
}
