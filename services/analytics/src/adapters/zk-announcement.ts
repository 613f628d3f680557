/** Lists a node in ZooKeeper with its proof, so that the gateway finds it. */
import { analyticsServiceName } from '@thermomesh/contracts';
import { announceService, type Announcement, type ServicePlace } from '@thermomesh/zookeeper';

export interface AnnounceOptions extends ServicePlace {
  nodeId: number;
  address: string;
  port: number;
}

/** Lists the node. It does not wait until ZooKeeper can be reached. */
export function announceNode({ nodeId, address, port, ...place }: AnnounceOptions): Announcement {
  return announceService(analyticsServiceName, { id: `node-${nodeId}`, address, port }, place);
}
