# Cassandra for the tests: the script that reads this says $name, $version and $nodes. Node N is 127.0.0.N, with a
# folder, log and pid of its own; all have the same port. Besides the usual commands:
#
#   kill1, kill2 ...   end that node with SIGKILL; start brings it back
#
# It is durable: a write is on disk when it is acknowledged (commitlog_sync: batch). A node whose disk fails ends, so that start brings it back.
# shellcheck shell=bash
stop_signal=TERM
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
patience=240 # a busy machine starts Java slowly, and after a kill the commit log is replayed
base=$dir
install=$installs/cassandra-$version

on() { # NODE COMMAND...: in the folder of a node
	local dir=$base/$1
	shift
	mkdir -p "$dir"
	"$@"
}

eval "node_$(declare -f pid)"
eval "node_$(declare -f end)"
pid() { # of all nodes or, if one does not run, none
	local n p all=""
	for n in $(seq "$nodes"); do
		p=$(on "$n" node_pid)
		[ -n "$p" ] || return 0
		all+="$p "
	done
	echo "$all"
}
pids() { for n in $(seq "$nodes"); do on "$n" node_pid; done; }
end_node() { # SIGNAL
	pid() { node_pid; }
	pids() { node_pid; }
	node_end "$1"
}
end() { for n in $(seq "$nodes"); do (on "$n" end_node "$1"); done; }

fetch() ( # the lock ends with this shell
	[ -e "$install/complete" ] && return
	command -v mvn >/dev/null || cannot "there is no mvn (Apache Maven), which downloads it"
	mkdir -p "$install"
	exec 8>"$install/lock"
	flock 8
	[ -e "$install/complete" ] && return
	echo "$name: installing Cassandra $version, 66 MB" >&2
	cat >"$install/pom.xml" <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion><groupId>perdure.test</groupId><artifactId>cassandra</artifactId><version>1</version>
		  <dependencies><dependency><groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$version</version></dependency></dependencies>
		</project>
	POM
	mvn -q -B -f "$install/pom.xml" dependency:copy-dependencies -DoutputDirectory="$install/lib" -DincludeScope=runtime >"$install/install.log" 2>&1 ||
		cannot "mvn could not download it, see $install/install.log"
	touch "$install/complete"
)

configure() { # NODE PORT
	local e heap=$((nodes == 1 ? 768 : 448))
	mkdir -p "$dir/conf"
	cat >"$dir/conf/cassandra.yaml" <<-YAML
		cluster_name: perdure tests
		num_tokens: $((nodes == 1 ? 1 : 8))
		partitioner: org.apache.cassandra.dht.Murmur3Partitioner
		endpoint_snitch: SimpleSnitch
		commitlog_sync: batch
		commit_failure_policy: die
		disk_failure_policy: die
		data_file_directories: [$dir/data]
		commitlog_directory: $dir/commitlog
		saved_caches_directory: $dir/saved_caches
		hints_directory: $dir/hints
		cdc_raw_directory: $dir/cdc_raw
		listen_address: 127.0.0.$1
		rpc_address: 127.0.0.$1
		native_transport_port: $2
		storage_port: $(($2 + 1))
		ssl_storage_port: $(($2 + 2))
		auto_snapshot: false
		memtable_heap_space: $((heap / 4))MiB
		seed_provider:
		  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
		    parameters: [{seeds: "127.0.0.1:$(($2 + 1))"}]
	YAML
	if [ -s "$base/tls/server.p12" ]; then
		cat >>"$dir/conf/cassandra.yaml" <<-YAML
			client_encryption_options: {enabled: true, optional: true, keystore: $base/tls/server.p12, keystore_password: perdure, store_type: PKCS12}
		YAML
	fi
	case $version in 5.*) echo "commitlog_disk_access_mode: auto" >>"$dir/conf/cassandra.yaml" ;; esac
	cat >"$dir/conf/logback.xml" <<-XML
		<configuration>
		  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%date %-5level %logger{0} %msg%n</pattern></encoder></appender>
		  <logger name="org.apache.cassandra" level="INFO"/>
		  <root level="WARN"><appender-ref ref="OUT"/></root>
		</configuration>
	XML
	{
		# Of several nodes on one machine that just started, most of the time goes into compiling and collecting, unless that is kept simple.
		[ "$nodes" = 1 ] && echo "-XX:+UseG1GC" || echo "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
		echo "-Xms256m -Xmx${heap}m -XX:+ExitOnOutOfMemoryError -XX:ErrorFile=$dir/crash.log -Djdk.attach.allowAttachSelf=true"
		for e in java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.management.rmi/com.sun.jmx.remote.internal.rmi \
			java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql; do
			echo "--add-exports $e=ALL-UNNAMED"
		done
		for e in java.lang.module jdk.internal.loader jdk.internal.ref jdk.internal.reflect jdk.internal.math jdk.internal.module \
			jdk.internal.util.jar sun.nio.ch java.io java.lang java.lang.reflect java.util java.util.concurrent java.util.concurrent.atomic java.nio; do
			echo "--add-opens java.base/$e=ALL-UNNAMED"
		done
		echo "--add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED --add-opens java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED"
		echo "-Dcassandra.config=file://$dir/conf/cassandra.yaml -Dlogback.configurationFile=file://$dir/conf/logback.xml"
		echo "-Dcassandra.storagedir=$dir -Dcassandra-foreground=yes -Dcassandra.skip_wait_for_gossip_to_settle=0"
		echo "-Dcassandra.ring_delay_ms=$((nodes == 1 ? 0 : 2000)) -Dcassandra.jmx.local.port=$(($2 + 2 + $1))"
		case $version in 4.*) echo "-javaagent:$(ls "$install"/lib/jamm-*.jar)" ;; esac # measures objects; on Java 17 it cannot without
		echo "-cp \"$dir/conf:$install/lib/*\" org.apache.cassandra.service.CassandraDaemon"
	} >"$dir/conf/java.args"
}

serves() { grep -q "Starting listening for CQL clients" "$dir/log"; }

start_node() { # NODE PORT
	[ -z "$(node_pid)" ] || return 0
	configure "$1" "$2"
	: >"$dir/log" # what is waited for must be said by this process
	setsid java "@$dir/conf/java.args" >>"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	await serves
}

start() { # one after another: a node joins only a ring that stands
	[ "$(uname)" = Linux ] || cannot "this script runs it on Linux only"
	command -v java >/dev/null || cannot "there is no java; Java 17 is needed"
	java -version 2>&1 | grep 'version "17\.' >/dev/null || cannot "Java 17 is needed, this is $(java -version 2>&1 | head -n 1)"
	fetch
	certify
	if [ -s "$dir/tls/server.crt" ] && [ ! -s "$dir/tls/server.p12" ]; then
		openssl pkcs12 -export -in "$dir/tls/server.crt" -inkey "$dir/tls/server.key" -passout pass:perdure -out "$dir/tls/server.p12" || fail "making a key store failed"
	fi
	local n p
	p=$(port)
	for n in $(seq "$nodes"); do on "$n" start_node "$n" "$p"; done
}

# fresh names a keyspace that was never used: nothing here speaks CQL to drop one. When there are many, all go.
fresh() { # NAME
	if [ "$(find "$base/1/data" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -gt 40 ]; then
		end KILL
		rm -rf "${base:?}"/[1-9]
		start
	fi
	echo "$1_$(date +%s%N)" >"$base/fresh-$1"
}

url() { # [NAME]
	local n hosts=""
	for n in $(seq "$nodes"); do hosts+=",127.0.0.$n:$(port)"; done
	echo "cassandra://${hosts#,}/$(cat "$base/fresh-${1:-}" 2>/dev/null || echo perdure)?replication=$nodes"
}

case "${1:-}" in
kill[1-9]) on "${1#kill}" end_node KILL ;;
*) main "$@" ;;
esac
