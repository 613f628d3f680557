#!/bin/bash
# `zkServer.sh start-foreground`, which is how the image is started.
cat > /tmp/log4j.properties <<'LOG'
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c: %m%n
LOG
# shellcheck disable=SC2086
exec java ${JVMFLAGS:-} ${SERVER_JVMFLAGS:-} -Xmx${ZK_SERVER_HEAP:-1000}m -Dlog4j.configuration=file:/tmp/log4j.properties \
  -cp '/apache-zookeeper-3.8.4-bin/lib/*' org.apache.zookeeper.server.quorum.QuorumPeerMain "$ZOOCFGDIR/zoo.cfg"
