/** The child's side of a process that takes part in a demonstration. */
import { ZooKeeper } from '@thermomesh/zookeeper';

/** ZooKeeper releases what a killed process held after this time. */
const sessionTimeoutMs = 3_000;
/** Time limit of a graceful end after the parent has gone. */
const gracefulEndMs = 2_000;

export interface JoinedDemo<News> {
  zk: ZooKeeper;
  /** Sends a message to the parent, if it is still there. */
  tell: (news: News) => void;
}

export interface JoinDemoOptions<Order> {
  /** ZooKeeper servers, `host:port,…[/path]`. */
  hosts: string;
  onOrder: (order: Order) => void;
  /** Called when the parent has gone; the session is closed once it resolves. */
  onParentGone: () => Promise<void>;
}

/**
 * Connects to ZooKeeper, takes orders from the parent, and ends this process when the parent has
 * gone.
 */
export async function joinDemo<Order, News extends { type: string }>({
  hosts,
  onOrder,
  onParentGone,
}: JoinDemoOptions<Order>): Promise<JoinedDemo<News>> {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
  const tell = (news: News | { type: 'ready' }) => process.connected && process.send?.(news);
  process.on('message', onOrder);
  process.once('disconnect', () => {
    // What cannot be released in time is released when the session ends.
    setTimeout(() => process.exit(0), gracefulEndMs).unref();
    void onParentGone()
      .then(async () => zk.close())
      .then(() => process.exit(0));
  });
  zk.start();
  await zk.whenConnected();
  tell({ type: 'ready' });
  return { zk, tell: (news) => void tell(news) };
}
