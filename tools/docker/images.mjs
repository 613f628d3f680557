/**
 * The third-party images that Compose and the Dockerfiles pin. `docker-compose.yml`, `Dockerfile`
 * and `.env.example` name the same ones.
 */
export const images = {
  node: 'node:24.21.0-bookworm-slim',
  postgres: 'postgres:18.4-bookworm',
  redis: 'redis:7.0.15-bookworm',
  zookeeper: 'zookeeper:3.8.4-jre-17',
  java: 'eclipse-temurin:17.0.15_6-jre',
  maven: 'maven:3.9.9-eclipse-temurin-17',
  prometheus: 'prom/prometheus:v2.53.3',
};
