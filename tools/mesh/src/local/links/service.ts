/** The links of a mesh and their control interface. */
import { LinkConditions, describeCondition, openLinks, type Links, type LinkSpec } from '@thermomesh/links';
import {
  createGatekeeper,
  createHealth,
  createHttpApp,
  createMetrics,
  HttpError,
  listen,
  MeshError,
  type Log,
  type Service,
} from '@thermomesh/runtime';
import Type from 'typebox';

const Change = Type.Object(
  {
    conditions: LinkConditions,
    /**
     * The links heal by themselves after this time, in case the caller dies before it heals them.
     */
    forMs: Type.Integer({ minimum: 1, maximum: 3_600_000 }),
  },
  { additionalProperties: false },
);

export interface LinksOptions {
  /** Address and port of the control interface. */
  host: string;
  port: number;
  /** The secret of the mesh. */
  secret: string;
  links: LinkSpec[];
}

/**
 * Creates the service of the links.
 * @throws MeshError `links.port_taken`
 */
export async function createLinksService(options: LinksOptions, log: Log): Promise<Service> {
  const links = await openLinks(options.links);
  const health = createHealth();
  const app = await createHttpApp({
    title: 'links',
    version: '1',
    log,
    health,
    metrics: createMetrics(),
    gatekeeper: createGatekeeper(options.secret, undefined),
  });
  let expiry: NodeJS.Timeout | undefined;
  const heal = async (reason: string) => {
    clearTimeout(expiry);
    await links.heal();
    log.info({ event: 'links.healed', reason });
  };
  const admin = { access: 'admin' as const };
  app.get('/v1/links', { config: admin }, async () => links.report());
  app.put('/v1/links', { config: admin, schema: { body: Change } }, async ({ body }) => {
    await change(links, body.conditions);
    const described = Object.entries(body.conditions).map(
      ([name, condition]) => `${name} ${describeCondition(condition)}`,
    );
    log.info({ event: 'links.changed', links: described, forMs: body.forMs });
    clearTimeout(expiry);
    expiry = setTimeout(() => {
      heal('expired').catch((err: unknown) => log.error({ event: 'links.heal_failed', err }));
    }, body.forMs);
    return links.report();
  });
  app.delete('/v1/links', { config: admin }, async () => {
    await heal('asked');
    return links.report();
  });
  let stopped: Promise<void> | undefined;
  return {
    async start() {
      await listen(app, options.host, options.port);
      log.info({ event: 'links.listening', links: options.links.length });
    },
    stop() {
      stopped ??= (async () => {
        health.close();
        clearTimeout(expiry);
        await links.close();
        await app.close();
      })();
      return stopped;
    },
  };
}

async function change(links: Links, conditions: LinkConditions): Promise<void> {
  try {
    await links.set(conditions);
  } catch (error) {
    if (error instanceof MeshError && error.code === 'links.unknown')
      throw new HttpError(404, error.code, error.message);
    throw error;
  }
}
