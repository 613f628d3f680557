/** The document of drain limits in ZooKeeper, followed. Nothing waits for it: without ZooKeeper the static limits hold. */
import { drainLimitsPath, type DrainLimits, type DrainLimitsView } from '@thermomesh/contracts';
import { messageOf } from '@thermomesh/runtime';
import { DynamicConfig, ZooKeeper } from '@thermomesh/zookeeper';
import { checkDrainLimits, mergeDrainLimits, type DrainLimitsFrame } from '../core/drain-limits.ts';

export interface FollowOptions {
  hosts: string;
  /** Where the group keeps everything. */
  path: string;
  sessionTimeoutMs: number;
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
  /** In bounded time. Idempotent. */
  stop(): Promise<void>;
}

/** The drain goes on without: nobody is in a hurry while no server answers. */
const redialDelayMsMax = 2_000;

export function followDrainLimits(options: FollowOptions): DrainLimitsSource {
  const { hosts, sessionTimeoutMs, initial, frame, onFault } = options;
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs, limits: { redialDelayMsMax }, onFault });
  let refused: string | null = null;
  const config = new DynamicConfig(zk, {
    path: drainLimitsPath(options.path),
    parse: (document) => checkDrainLimits(document, initial, frame),
    initial: {},
    onRejected: (error) => {
      refused = messageOf(error);
      options.onRefused(refused);
    },
  });
  // Made when the document changes, not for each batch.
  let limits = initial;
  config.onChange(({ value }) => {
    limits = mergeDrainLimits(initial, value);
    refused = null;
    options.onChanged(view());
  });
  function view(): DrainLimitsView {
    const { version } = config.current;
    const source = version === undefined ? 'static' : 'zookeeper';
    return { limits, source, version: version ?? null, fresh: config.fresh, refused };
  }
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    // The client first: a read that a frozen server owes an answer would be waited for.
    await zk.close();
    await config.close();
  }
  return {
    view,
    start() {
      zk.start();
      config.start();
    },
    stop: () => (stopped ??= stop()),
  };
}
