/** `mesh status` and the live view of `mesh up`, for people. */
import type { Accounts, StatusDocument } from '@thermomesh/contracts';
import { maskPassword, show, table } from './table.ts';

export interface StatusView {
  document: StatusDocument;
  /** Epoch and role by node name, where the node answers. */
  nodes: Record<string, { role: string; epoch: number | null }>;
  /** Messages in the gateway's store. */
  backlog: number | null;
  rowsPerSecond: number | null;
}

/** The table of processes. */
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

/** One line for I6. */
export function renderAccounts(accounts: Accounts): string {
  const { accepted, stored, duplicate, rejected, buffered, inFlight, balanced } = accounts;
  const verdict = balanced === null ? 'unknown' : balanced ? 'balanced' : 'NOT BALANCED';
  const sum = `accepted ${show(accepted)} = stored ${show(stored)} + duplicate ${show(duplicate)} + rejected ${show(rejected)} + buffered ${show(buffered)}`;
  return `accounts (I6): ${verdict}: ${sum} (in flight at most ${show(inFlight)})`;
}

/** One line, if ZooKeeper was asked and has answered. */
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

/** Everything that `mesh status` says. */
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
    renderAccounts(document.accounts),
  ].join('\n');
}
