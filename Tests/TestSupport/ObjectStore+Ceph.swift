internal import FoundationEssentials

extension ObjectStore {
    /// Whether Ceph is there to be started; `scripts/test --full` installs it.
    package static var isCephInstalled: Bool {
        ["ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "radosgw-admin"].allSatisfy {
            FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
        }
    }

    /// A whole cluster of one daemon each, which keeps its objects in memory, and a gateway.
    static func cephStarted() async throws -> ObjectStore {
        let directory = try await makeDirectory("ceph")
        let ports = try LocalSocket.freePorts(3)
        for folder in ["mon", "osd.0", "mgr", "rgw", "run"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(folder)", withIntermediateDirectories: false)
        }
        let configuration = cephConfiguration(
            in: directory, monitor: ports[0], oldMonitor: ports[1], gateway: ports[2],
            identifier: UUID().uuidString.lowercased())
        try Data(configuration.utf8).write(to: URL(filePath: "\(directory)/ceph.conf"))
        try Data(cephScript.utf8).write(to: URL(filePath: "\(directory)/start"))
        let process = try await start(["/bin/bash", "\(directory)/start", "\(directory)"], in: directory)
        let store = ObjectStore(
            port: ports[2], secureEndpoint: nil, caFile: "\(directory)/tls.crt", process: process)
        try await store.makeBucket()
        return store
    }

    private static func cephConfiguration(
        in directory: String, monitor: UInt16, oldMonitor: UInt16, gateway: UInt16, identifier: String
    ) -> String {
        """
        [global]
        fsid = \(identifier)
        mon_host = [v2:127.0.0.1:\(monitor),v1:127.0.0.1:\(oldMonitor)]
        public_addr = 127.0.0.1
        cluster_addr = 127.0.0.1
        ms_bind_ipv6 = false
        auth_cluster_required = cephx
        auth_service_required = cephx
        auth_client_required = cephx
        osd_pool_default_size = 1
        osd_pool_default_min_size = 1
        osd_pool_default_pg_num = 1
        osd_pool_default_pg_autoscale_mode = off
        osd_crush_chooseleaf_type = 0
        mon_allow_pool_size_one = true
        mon_warn_on_pool_no_redundancy = false
        keyring = \(directory)/keyring
        run_dir = \(directory)/run
        admin_socket = \(directory)/run/$name.asok
        log_file = \(directory)/$name.log
        pid_file = \(directory)/run/$name.pid
        osd_objectstore = memstore
        memstore_device_bytes = 2147483648
        osd_memory_target = 939524096

        [mon.a]
        mon_data = \(directory)/mon

        [osd.0]
        osd_data = \(directory)/osd.0

        [mgr.x]
        mgr_data = \(directory)/mgr
        mgr_initial_modules =

        [client.rgw]
        rgw_data = \(directory)/rgw
        rgw_frontends = beast endpoint=127.0.0.1:\(gateway)

        """
    }

    /// Makes the cluster, starts its daemons beside it, and becomes the gateway.
    ///
    /// Each daemon names the directory, and so ends with this process.
    private static let cephScript = #"""
        set -euo pipefail
        cd "$1"
        conf=$1/ceph.conf
        ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *'
        for name in client.admin osd.0 mgr.x client.rgw; do
            ceph-authtool keyring --gen-key -n "$name" --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
        done
        fsid=$(sed -n 's/^fsid = //p' "$conf")
        addresses=$(sed -n 's/^mon_host = //p' "$conf")
        monmaptool --create --fsid "$fsid" --addv a "$addresses" monmap
        ceph-mon --mkfs -i a --monmap monmap --keyring keyring -c "$conf"
        ceph-mon -f -i a -c "$conf" &
        ceph-mgr -f -i x -c "$conf" &
        osd=$(cat /proc/sys/kernel/random/uuid)
        ceph -c "$conf" osd new "$osd"
        ceph-osd -i 0 --mkfs --osd-uuid "$osd" -c "$conf"
        ceph-osd -f -i 0 -c "$conf" &
        radosgw-admin -n client.rgw -c "$conf" user create --uid=apex --display-name=apex \
            --access-key=apexkey --secret-key=apexsecret
        exec radosgw -f -n client.rgw -c "$conf"

        """#
}
