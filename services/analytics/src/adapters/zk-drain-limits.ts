/** The document of drain limits in ZooKeeper, followed. Nothing waits for it: without ZooKeeper the static limits hold. */
import { drainLimitsPath, type DrainLimits, type DrainLimitsView } from '@thermomesh/contracts';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { DynamicConfig, type ZooKeeper } from '@thermomesh/zookeeper';
import { checkDrainLimits, mergeDrainLimits, type DrainLimitsFrame } from '../core/drain-limits.ts';
import { guardDocument } from './zk-guarded-document.ts';

export interface FollowOptions {
  /** Of the node; started and closed by its owner. */
  zk: ZooKeeper;
  /** Where the group keeps everything. */
  path: string;
  /** Of the operator, `user:password`: nobody else may write the document. */
  adminSecret: string;
  /** A client that is the operator, not started: used to guard the document, and closed again. The node's own session writes nothing. */
  asAdmin: () => ZooKeeper;
  /** What holds until something is published, and where the document says nothing. */
  initial: DrainLimits;
  frame: DrainLimitsFrame;
  onChanged: (view: DrainLimitsView) => void;
  /** A document was refused; what held before holds on. */
  onRefused: (reason: string) => void;
  onFault: (error: unknown) => void;
}

/** Where the drain asks before each batch. */
export interface DrainLimitsSource {
  view(): DrainLimitsView;
  /** Does not wait until ZooKeeper can be reached. */
  start(): void;
  /** After the client was closed: a read that a frozen server owes an answer would be waited for. Idempotent. */
  stop(): Promise<void>;
}

export function followDrainLimits(options: FollowOptions): DrainLimitsSource {
  const { zk, initial, frame, onFault } = options;
  const path = drainLimitsPath(options.path);
  let refused: string | null = null;
  const config = new DynamicConfig(zk, {
    path,
    parse: (document) => checkDrainLimits(document, initial, frame),
    initial: {},
    onRejected: (error) => {
      refused = messageOf(error);
      options.onRefused(refused);
    },
  });
  // Made when the document changes, not for each batch.
  let limits = initial;
  config.onChange(({ value, version }) => {
    limits = mergeDrainLimits(initial, value);
    refused = null;
    options.onChanged(view());
    // The operator has removed it: nobody else shall make the next one.
    if (version === undefined) void guard();
  });
  function view(): DrainLimitsView {
    const { version } = config.current;
    const source = version === undefined ? 'static' : 'zookeeper';
    return { limits, source, version: version ?? null, fresh: config.fresh, refused };
  }
  let guarding: ZooKeeper | undefined;
  /** @returns whether only the operator can have written what is there */
  async function guard(): Promise<boolean> {
    if (stopped !== undefined) return false;
    const admin = options.asAdmin();
    guarding = admin;
    try {
      admin.start();
      if (await admin.retry(async () => guardDocument(admin, path, options.adminSecret))) return true;
      const message = `${path} is not the operator's: somebody else may write there, so nobody reads it`;
      throw new MeshError('drain.limits_unguarded', message);
    } catch (error) {
      if (stopped === undefined) onFault(error);
      return false;
    } finally {
      await admin.close();
    }
  }
  async function begin(): Promise<void> {
    // First the guard: nothing is followed that somebody else could have written.
    if ((await guard()) && stopped === undefined) config.start();
  }
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    await guarding?.close();
    await begun;
    await config.close();
  }
  let begun: Promise<void> | undefined;
  return {
    view,
    start() {
      begun ??= begin();
    },
    stop: () => (stopped ??= stop()),
  };
}
