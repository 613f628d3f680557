/** A set of links with names. */
import { passing, type LinkCondition, type LinkConditions } from './condition.ts';
import { linksError } from './errors.ts';
import type { LinkLimits } from './limits.ts';
import { openLink, type Link, type LinkSpec } from './link.ts';

export interface LinkReport {
  name: string;
  port: number;
  connections: number;
  condition: LinkCondition;
}

export interface Links {
  report(): LinkReport[];
  /**
   * Sets the conditions of the named links, all or none; the other links keep theirs.
   * @throws MeshError `links.unknown`
   */
  set(conditions: LinkConditions): Promise<void>;
  /** Makes all links pass again. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Opens all links, or none of them. @throws MeshError `links.port_taken`, `links.duplicate` */
export async function openLinks(specs: LinkSpec[], limits?: LinkLimits): Promise<Links> {
  const links = new Map<string, Link>();
  const close = async () => {
    await Promise.all([...links.values()].map(async (link) => link.close()));
  };
  try {
    for (const spec of specs) {
      if (links.has(spec.name)) throw linksError('links.duplicate', `two links have the name ${spec.name}`);
      links.set(spec.name, await openLink(spec, limits));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    report: () =>
      [...links.values()].map((link) => ({
        name: link.name,
        port: link.port,
        connections: link.connections(),
        condition: link.condition,
      })),
    async set(conditions) {
      const named = Object.entries(conditions).map(([name, condition]) => {
        const link = links.get(name);
        if (link === undefined) throw linksError('links.unknown', `there is no link ${name}`);
        return { link, condition };
      });
      await Promise.all(named.map(async ({ link, condition }) => link.set(condition)));
    },
    async heal() {
      await Promise.all([...links.values()].map(async (link) => link.set(passing)));
    },
    close,
  };
}
