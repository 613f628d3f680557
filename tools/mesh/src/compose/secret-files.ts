/**
 * The secrets of a mesh in containers: files in one volume, each with the group that may read it.
 * Pure.
 */

/** The user that our images run as (Dockerfile). */
export const serviceUser = 10_001;

export const groups = {
  mesh: 20_001,
  billing: 20_002,
  processor: 20_003,
  checkout: 20_004,
  database: 20_005,
  redis: 20_006,
  grafana: 20_008,
} as const;

/** In order of creation: later secrets may contain earlier ones. */
export const secretGroups = {
  secret: groups.mesh,
  'billing.secret': groups.billing,
  'processor.secret': groups.processor,
  'checkout.secret': groups.checkout,
  'postgres.password': groups.database,
  'database.url': groups.database,
  'redis.password': groups.redis,
  'redis.url': groups.redis,
  'redis.conf': groups.redis,
  'grafana.password': groups.grafana,
} as const;
