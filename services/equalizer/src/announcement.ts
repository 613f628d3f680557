/** The node's entries in ZooKeeper: as a member of its group, and in service discovery. */
import { codeOf, type Log } from '@thermomesh/runtime';
import {
  GroupMembership,
  parseMemberMetadata,
  proofOf,
  ServiceDiscovery,
  urlOf,
  type MemberMetadata,
  type ZooKeeper,
} from '@thermomesh/zookeeper';
import type { EqualizerSettings } from './config.ts';
import { nodesOf } from './core/jobs.ts';

export interface AnnouncementOptions {
  settings: Pick<EqualizerSettings, 'nodeName' | 'flavour' | 'secret' | 'zookeeper' | 'http'>;
  version: string;
  zk: ZooKeeper;
  log: Log;
}

export interface Announcement {
  /** Announces the node once its HTTP port is known. */
  announce(port: number): void;
  /** Removes the entries. Idempotent. */
  withdraw(): Promise<void>;
}

const serviceName = 'equalizer';

export function createAnnouncement(options: AnnouncementOptions): Announcement {
  const { settings, version, zk, log } = options;
  const { nodeName: id, flavour, secret } = settings;
  const { root, servicesPath } = settings.zookeeper;
  const address = settings.http.announcedHost;
  let entries: { close: () => Promise<void> }[] = [];
  return {
    announce(port) {
      const metadata: MemberMetadata = {
        version,
        address: urlOf({ address, port }),
        flavour: `${serviceName}/${flavour}`,
      };
      const onFailed = (err: unknown) =>
        log.error({ event: 'equalizer.announcement_failed', code: codeOf(err), err });
      const proof = proofOf(secret, serviceName, { id, address, port });
      const members = new GroupMembership<MemberMetadata>(zk, {
        path: nodesOf(root).members,
        self: { id, metadata },
        parse: parseMemberMetadata,
        onFailed,
      });
      const discovery = new ServiceDiscovery(zk, {
        path: servicesPath,
        service: serviceName,
        self: { id, instance: { address, port, metadata: { proof } } },
        onFailed,
      });
      entries = [members.start(), discovery.start()];
    },
    async withdraw() {
      const leaving = entries;
      entries = [];
      // Without a connection this would wait for one; the end of the session removes the entries.
      if (zk.phase === 'connected') await Promise.all(leaving.map(async (each) => each.close()));
    },
  };
}
