/// The JSON of the example report.
// swift-format-ignore
let goldenJSON = #"""
    {
      "assumptions" : [
        "The source is lost at the declared failure; the repository, its host and this host are not.",
        "It takes 5 min to notice the failure (from the policy, not measured)."
      ],
      "backup" : {
        "artefacts" : [
          {
            "bytes" : 41943040,
            "name" : "db-16384.dump.gz",
            "sha256" : "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "stored_bytes" : 10485760
          }
        ],
        "content_bytes" : 41943040,
        "databases" : [
          "apex",
          "a_b"
        ],
        "id" : "20261121T020000Z-0001",
        "kind" : "logical",
        "recovery_point" : "2026-11-21T02:00:00Z",
        "selection" : "latest",
        "state" : "verified",
        "stored_bytes" : 10485760
      },
      "chain" : {
        "journal_head" : null,
        "prev" : "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
        "signatures" : [

        ]
      },
      "checks" : [
        {
          "evidence" : "5 tables, 1,204 rows",
          "expect" : {
            "vs" : "manifest"
          },
          "gating" : true,
          "id" : "rows",
          "s" : 0.12,
          "type" : "rows",
          "verdict" : "pass"
        },
        {
          "expect" : {
            "eq" : 0
          },
          "gating" : true,
          "got" : 0,
          "id" : "orphans",
          "s" : 0.002,
          "type" : "sql",
          "verdict" : "pass"
        },
        {
          "evidence" : "`x`",
          "expect" : {
            "eq" : 0
          },
          "gating" : false,
          "got" : 1,
          "id" : "amcheck",
          "reason" : "index \"a|b\" is\nbroken",
          "s" : 2,
          "type" : "amcheck",
          "verdict" : "fail"
        }
      ],
      "cleanup" : {
        "done" : true,
        "proof" : [
          "no process left",
          "directory gone"
        ]
      },
      "clock" : {
        "finished_at" : "2026-11-21T11:12:07Z",
        "skew_ms" : 10,
        "skew_unc_ms" : 30,
        "t0" : "2026-11-21T11:12:00Z"
      },
      "deviations" : [
        "The source does not answer."
      ],
      "environment" : {
        "cpu_count" : 2,
        "host" : "drill-1",
        "memory_bytes" : 8589934592,
        "os" : "Debian 12",
        "versions" : {
          "apex-backup" : "0.1.0",
          "pg_restore" : "15.14"
        }
      },
      "findings" : [
        {
          "id" : "F-1",
          "severity" : "failed",
          "state" : "open",
          "text" : "the newest logical backup was 9 h 12 min old at the declared failure; a logical backup can not be rolled forward; an RPO of 15 min needs WAL archiving"
        },
        {
          "check" : "amcheck",
          "id" : "F-2",
          "severity" : "advisory",
          "state" : "open",
          "text" : "check 'amcheck' failed: index \"a|b\" is\nbroken"
        }
      ],
      "id" : "20261121T111200Z-7f3a",
      "not_tested" : [
        "The time to decide to restore: nothing is assumed for it.",
        "Recovery to a chosen moment: a logical backup has one recovery point.",
        "Loss of the repository, and restoring on another host.",
        "The application on the restored database: no http or command check.",
        "The schema against the manifest: no structure check.",
        "Roles: no roles check.",
        "Extensions: no extensions check.",
        "Sequences: no sequences check."
      ],
      "objectives" : {
        "rpo_s" : 900,
        "rpo_verdict" : "fail",
        "rto_s" : 14400,
        "rto_verdict" : "pass"
      },
      "policy" : {
        "labels" : {
          "tier" : "1"
        },
        "name" : "runbook|nightly",
        "owner" : "platform-team",
        "scenario" : {
          "controls" : [
            "SOC2-A1.3"
          ],
          "text" : "The volume is lost.\n<b>Really</b>",
          "type" : "restore"
        },
        "sha256" : "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "version" : 3
      },
      "reasons" : [
        "the newest logical backup was 9 h 12 min old at the declared failure; a logical backup can not be rolled forward; an RPO of 15 min needs WAL archiving"
      ],
      "recovery_point" : {
        "basis" : "dump snapshot",
        "covered" : "2026-11-21T02:00:00Z",
        "database" : "apex",
        "lsn_end" : "0/3000148",
        "rpa_s" : 33120,
        "timeline" : 4,
        "uncertainty_basis" : "the server's clock against another",
        "uncertainty_s" : 0.05
      },
      "recovery_time" : {
        "assumed_s" : 300,
        "measured_s" : 3.893456,
        "phases" : [
          {
            "basis" : "assumed",
            "in_recovery_time" : true,
            "name" : "detect",
            "s" : 300
          },
          {
            "basis" : "measured",
            "in_recovery_time" : true,
            "name" : "provision",
            "s" : 1.5,
            "start" : "2026-11-21T11:12:00Z"
          },
          {
            "basis" : "measured",
            "in_recovery_time" : true,
            "name" : "select",
            "s" : 0.02,
            "start" : "2026-11-21T11:12:01.500000Z"
          },
          {
            "basis" : "measured",
            "bytes" : 41943040,
            "in_recovery_time" : true,
            "name" : "restore",
            "s" : 2.123456,
            "start" : "2026-11-21T11:12:01.520000Z"
          },
          {
            "basis" : "measured",
            "in_recovery_time" : true,
            "name" : "verify",
            "s" : 0.25,
            "start" : "2026-11-21T11:12:03.643456Z"
          },
          {
            "basis" : "measured",
            "in_recovery_time" : false,
            "name" : "deep_verify",
            "s" : 2,
            "start" : "2026-11-21T11:12:03.893456Z"
          },
          {
            "basis" : "measured",
            "in_recovery_time" : false,
            "name" : "cleanup",
            "s" : 0.4,
            "start" : "2026-11-21T11:12:05.893456Z"
          }
        ],
        "technical_s" : 3.893456,
        "total_s" : 303.893456
      },
      "schema" : "apex-backup/drill-report/1",
      "target" : {
        "isolation" : [
          "listen_addresses = ''"
        ],
        "overrides" : {
          "jit" : "off"
        },
        "server_version" : "15.14",
        "system_identifier" : "7490000000000000001",
        "type" : "local_instance"
      },
      "verdict" : "fail"
    }
    """#

/// The Markdown of the example report.
// swift-format-ignore
let goldenMarkdown = #"""
    # Drill report: runbook\|nightly

    > **FAIL**
    >
    > Backup `20261121T020000Z-0001` was restored and recovery took 5 min 4 s, and still the drill failed:
    >
    > - the newest logical backup was 9 h 12 min old at the declared failure; a logical backup can not be rolled forward; an RPO of 15 min needs WAL archiving

    | What | Value |
    | --- | --- |
    | Drill | `20261121T111200Z-7f3a` |
    | Declared failure | 2026-11-21 11:12:00 UTC |
    | Finished | 2026-11-21 11:12:07 UTC |
    | Owner | platform-team |
    | Scenario | The volume is lost. &lt;b&gt;Really&lt;/b&gt; |
    | Controls | SOC2-A1.3 |
    | Label tier | 1 |
    | Policy | runbook\|nightly version 3, SHA-256 `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` |

    ## Objectives against measured

    Measured against the RTO is the recovery time actual (RTA), against the RPO the recovery point actual (RPA).

    | Objective | Target | Measured | Evidence | Uncertainty | Margin | Result |
    | --- | --- | --- | --- | --- | --- | --- |
    | RTO | 4 h | 5 min 4 s | measured 3.9 s, assumed 5 min | – | 3 h 54 min | PASS |
    | RPO | 15 min | 9 h 12 min | dump snapshot | ± 50 ms | -8 h 57 min | FAIL |

    ## Phases

    Phases may overlap; the recovery time counts each moment once.

    | Phase | Begins | Takes | Bytes | Basis | In the recovery time |
    | --- | --- | --- | --- | --- | --- |
    | detect | – | 5 min | – | assumed | yes |
    | provision | +0 ms | 1.5 s | – | measured | yes |
    | select | +1.5 s | 20 ms | – | measured | yes |
    | restore | +1.5 s | 2.1 s | 40.0 MiB | measured | yes |
    | verify | +3.6 s | 250 ms | – | measured | yes |
    | deep_verify | +3.9 s | 2.0 s | – | measured | no |
    | cleanup | +5.9 s | 400 ms | – | measured | no |

    ## Recovery point

    All that was committed before 2026-11-21 02:00:00 UTC is there; the failure was declared at 2026-11-21 11:12:00 UTC. Evidence: dump snapshot of database apex, WAL position `0/3000148` on timeline 4. RPA 9 h 12 min ± 50 ms (the server's clock against another).

    ## Backup used

    | What | Value |
    | --- | --- |
    | Backup | `20261121T020000Z-0001` (logical) |
    | Chosen | latest |
    | Recovery point | 2026-11-21 02:00:00 UTC |
    | Proved before | verified |
    | Databases | apex, a\_b |
    | Size | 40.0 MiB, stored as 10.0 MiB |

    | Artefact | Size | Stored | SHA-256 of the content |
    | --- | --- | --- | --- |
    | db-16384.dump.gz | 40.0 MiB | 10.0 MiB | `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb` |

    ## Checks

    | Check | Type | Weight | Expected | Got | Result | Took | Why and evidence |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | rows | rows | gating | as in the manifest | – | PASS | 120 ms | 5 tables, 1,204 rows |
    | orphans | sql | gating | = 0 | 0 | PASS | 2 ms |  |
    | amcheck | amcheck | advisory | = 0 | 1 | FAIL | 2.0 s | index "a\|b" is broken; \`x\` |

    ## Target and clean-up

    | What | Value |
    | --- | --- |
    | Type | local\_instance |
    | PostgreSQL | 15.14 |
    | System identifier | 7490000000000000001 |
    | Isolation | listen\_addresses = '' |
    | Override | jit = off |

    Clean-up is done:

    - no process left
    - directory gone

    ## Findings

    | Finding | Severity | What | State |
    | --- | --- | --- | --- |
    | F-1 | failed | the newest logical backup was 9 h 12 min old at the declared failure; a logical backup can not be rolled forward; an RPO of 15 min needs WAL archiving | open |
    | F-2 | advisory | check 'amcheck' failed: index "a\|b" is broken | open |

    ## Environment

    | What | Value |
    | --- | --- |
    | Host | drill-1 |
    | Operating system | Debian 12 |
    | Processors | 2 |
    | Memory | 8.0 GiB |
    | apex-backup | 0.1.0 |
    | pg\_restore | 15.14 |

    ## Deviations

    - The source does not answer.

    ## Assumptions

    - The source is lost at the declared failure; the repository, its host and this host are not.
    - It takes 5 min to notice the failure (from the policy, not measured).

    ## Not tested

    - The time to decide to restore: nothing is assumed for it.
    - Recovery to a chosen moment: a logical backup has one recovery point.
    - Loss of the repository, and restoring on another host.
    - The application on the restored database: no http or command check.
    - The schema against the manifest: no structure check.
    - Roles: no roles check.
    - Extensions: no extensions check.
    - Sequences: no sequences check.

    ## Chain

    Ledger entry before this drill: `sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc`. The JSON report is the record; this text is a view of it.

    """#
