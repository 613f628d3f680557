#!/bin/bash
# Starts one broker. Settings that differ between brokers come from the environment, the rest from
# server.properties.
set -euo pipefail
: "${BROKER_ID:?}" "${ZOOKEEPER_CONNECT:?}" "${ADVERTISED_HOST:?}"
{
  cat /opt/kafka/server.properties
  echo "broker.id=$BROKER_ID"
  echo "zookeeper.connect=$ZOOKEEPER_CONNECT"
  echo 'listeners=PLAINTEXT://0.0.0.0:9092'
  echo "advertised.listeners=PLAINTEXT://$ADVERTISED_HOST:9092"
  echo 'log.dirs=/var/lib/kafka/data'
} > /tmp/server.properties
exec java "-Xmx${HEAP_MB:-192}m" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData \
  -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Dlog4j.configuration=file:/opt/kafka/log4j.properties \
  -cp '/opt/kafka/libs/*' kafka.Kafka /tmp/server.properties
