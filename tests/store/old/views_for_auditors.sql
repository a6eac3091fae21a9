-- A database as it was written before packed_counts: `sqlite3.Connection.iterdump` of nine judged minutes, an open one, and four with large counts.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'telltale','windows','2026-11-27 02:41:11.813490+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'telltale','drift_and_alerts','2026-11-27 02:41:11.814622+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'telltale','notifications','2026-11-27 02:41:11.818251+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'telltale','tiers_and_chain','2026-11-27 02:41:11.823556+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'telltale','reference_changes','2026-11-27 02:41:11.824962+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'telltale','counts_by_number','2026-11-27 02:41:11.826785+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'telltale','guard_of_migrations','2026-11-27 02:41:11.827790+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'telltale','guard_of_unseen_values','2026-11-27 02:41:11.828603+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'telltale','views_for_auditors','2026-11-27 02:41:11.829772+00:00');
CREATE TABLE alert_events (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            rule TEXT NOT NULL,
            "column" TEXT NOT NULL,
            role TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            statistic TEXT NOT NULL,
            value REAL,
            critical REAL,
            n INTEGER NOT NULL,
            severity TEXT NOT NULL,
            event_id TEXT NOT NULL,
            model_version TEXT NOT NULL,
            reason TEXT NOT NULL DEFAULT ''
        ) STRICT;
INSERT INTO "alert_events" VALUES(1,'2023-11-15T00:07:00Z','drift','colour','feature','inactive','firing','kl',8.35447727773958925823e-01,1.83717273044984447105e-01,84,'warning','ue4iayoxat','v1','the condition holds');
INSERT INTO "alert_events" VALUES(2,'2023-11-15T00:09:00Z','drift','x0','feature','inactive','firing','wasserstein',5.40730656065188108883e-01,4.80608547187518941878e-01,108,'warning','3rixpign3z','v1','the condition holds');
CREATE TABLE alerts (
            rule TEXT NOT NULL,
            role TEXT NOT NULL,
            "column" TEXT NOT NULL,
            state TEXT NOT NULL,                 -- inactive, pending, firing, resolved
            since TEXT NOT NULL,
            active_since TEXT,
            held REAL NOT NULL,                  -- watched seconds that count towards its next move
            clear_since TEXT,
            evaluated TEXT,
            event_id TEXT NOT NULL,
            severity TEXT NOT NULL,
            value REAL,
            labels TEXT NOT NULL,                -- JSON object
            statistic TEXT NOT NULL DEFAULT '',  -- the one by which the condition held last
            reopened INTEGER NOT NULL DEFAULT 0, -- how often the event has come back
            PRIMARY KEY (rule, role, "column")
        ) STRICT, WITHOUT ROWID;
INSERT INTO "alerts" VALUES('drift','feature','colour','firing','2023-11-15T00:07:00Z','2023-11-15T00:07:00Z',0.0,NULL,'2023-11-15T00:09:00Z','ue4iayoxat','warning',2.14463318803544256141e+00,'{}','kl',0);
INSERT INTO "alerts" VALUES('drift','feature','x0','firing','2023-11-15T00:09:00Z','2023-11-15T00:09:00Z',0.0,NULL,'2023-11-15T00:09:00Z','3rixpign3z','warning',5.40730656065188108883e-01,'{}','wasserstein',0);
INSERT INTO "alerts" VALUES('drift','feature','x1','inactive','2023-11-15T00:01:00Z',NULL,0.0,NULL,'2023-11-15T00:09:00Z','','warning',3.81085464751070301936e-01,'{}','',0);
INSERT INTO "alerts" VALUES('drift','prediction','prediction','inactive','2023-11-15T00:01:00Z',NULL,0.0,NULL,'2023-11-15T00:09:00Z','','warning',9.57259002074236364787e-02,'{}','',0);
CREATE TABLE chain (
            id INTEGER PRIMARY KEY,
            stream TEXT NOT NULL,                -- each stream is a chain of its own: minutes, hours, days, drift, ...
            first INTEGER NOT NULL,              -- id of the first row that the entry covers
            last INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            marks BLOB NOT NULL,                 -- first 4 bytes of each row's SHA-256, where there are several
            digest BLOB,                         -- SHA-256 of the rows, kept in their place once they were pruned
            link BLOB NOT NULL                   -- SHA-256 of the previous link in the stream, these facts and the rows
        ) STRICT;
INSERT INTO "chain" VALUES(1,'models',1,1,1,X'',NULL,X'842DBBABB4AD4B6E4DA49E7B3C5F3EC2905B1529E8DE747DD20FFD7573299E1B');
INSERT INTO "chain" VALUES(2,'columns',1,4,4,X'BCC2161927D356998620987B2B0867F3',NULL,X'A8750F70FF28C5B2F0DADBA938A3D4628B00BFFD922CA24B960DBB381515D46D');
INSERT INTO "chain" VALUES(3,'minutes',1,1,1,X'',NULL,X'88C14E382AF1A7CE8630D552863C45012DCFA44050AFB297174F560696A500BD');
INSERT INTO "chain" VALUES(4,'drift',1,11,11,X'D50DF14AFF9FC554A9B9E4FA31B24BBB91ADA8362E97022EBBF46DCACAB1D1B295E1C2772D560F06E12E9ECD',NULL,X'51B35DBF35508829BE4F07C2B362B479278524CFE6024190A9C65B7433FDAB83');
INSERT INTO "chain" VALUES(5,'questions',1,1,1,X'',NULL,X'05B3E1F28DF84BB6A2C96364D9398AC24F8CF305D4A4E33D3E0A5424800FB5B0');
INSERT INTO "chain" VALUES(6,'minutes',2,2,1,X'',NULL,X'9D4D3A5151AFC19CA2693086A140D9839E67E084C849D5A2FBC9835199CF4936');
INSERT INTO "chain" VALUES(7,'drift',12,22,11,X'6E2F7E39E6C09D670D3B587ECBA5B76F4A1FF8ABD9BB5371679BD6D187C44C13EAEED80E078839B8326740E8',NULL,X'CB2D20F038CE932C0A282CEF00F9FE37126AABAD3EC1D2B882307491499AD8F0');
INSERT INTO "chain" VALUES(8,'minutes',3,3,1,X'',NULL,X'A05A1904D3BACC6322640054ECCB5E96F597182721D507C5389AC23BA2D06ACB');
INSERT INTO "chain" VALUES(9,'drift',23,33,11,X'77787D787E42E455CD31C755225037C6523AAACB1853E0929A99009D915617555BDFA00D4B5062E3590A39F2',NULL,X'CC47C9CA9E4F00A5DBA512C200486C61B24006076546CB2A60E1A7D64E08FE13');
INSERT INTO "chain" VALUES(10,'minutes',4,4,1,X'',NULL,X'FD334F15F46A756B8A7EF280A68131CCD2A63B8F51ECF46B2B7CFA17CAFCE4B9');
INSERT INTO "chain" VALUES(11,'drift',34,44,11,X'D1931D07F29C578FB3101C2CBDB59A449A1F181A2478878C19664D72EE21116202C62A1CEF2151BE6E6E8FA7',NULL,X'7F4A2591010FA62971AB84C9360D9A42880873967B2B2CE44CFCA2255DC3817E');
INSERT INTO "chain" VALUES(12,'minutes',5,5,1,X'',NULL,X'30B3A19AB3877BD411E156B5F4FC85D5CC1C8F93C0A7A5AECF77D4D75D70857B');
INSERT INTO "chain" VALUES(13,'drift',45,55,11,X'B093D4C3CD4CE7831CF80B7BDFF30F5CC724DE4987F1B555D71572A31DFDFDE59588C4EBACA129FE006C332D',NULL,X'C3AB6806C8DAC1A245557D35D7C910AAE686F2B06D7E3F0796B5A152D0DDCDE4');
INSERT INTO "chain" VALUES(14,'minutes',6,6,1,X'',NULL,X'AFD4E9A73A78DD7CF413D74FA20046B9E1D684516EC67A160ABB6F14DB64E4A0');
INSERT INTO "chain" VALUES(15,'drift',56,66,11,X'1AC87F1D700DF7A9F50523A3132876970160F4FC404A4FCB7D64798E24C7BB1180EEA74EF67CA49B87440FB3',NULL,X'DCF68BA3645C6833F5B4A72E533F43AB462D9E36C9799A0031DE4DA2DE3824E6');
INSERT INTO "chain" VALUES(16,'minutes',7,7,1,X'',NULL,X'3E74D6DB55EF3CBF7963245762770DE57F99C4DDC24D1C41BF1E0DAE4599468E');
INSERT INTO "chain" VALUES(17,'drift',67,77,11,X'E7E30B78C92C8A8B97A10A47F35A65CA7BFC975B1480DE5424A522CF008B017744AE1102AC82F02C95598B54',NULL,X'7047920CCF38295C06CF22DC2F7A21F97A34A80AF913BBAD0AE119DC640997BE');
INSERT INTO "chain" VALUES(18,'alert_events',1,1,1,X'',NULL,X'4420E5C66154BFC4E3CC1BFE059659E3E89688AF9B26830081C73598A15D29ED');
INSERT INTO "chain" VALUES(19,'messages',1,1,1,X'',NULL,X'B9D3B2D0203255765AC9099AFF4867C5CEC6F78CCD875BD20855FA56E6991A49');
INSERT INTO "chain" VALUES(20,'minutes',8,8,1,X'',NULL,X'BC5C37CE43DDD88396377F5DC52839A1A573E4689E09E934405E91E3F0E891E0');
INSERT INTO "chain" VALUES(21,'drift',78,88,11,X'9FFE551BAB5FEAD0662B27433903CBEF2F41B23B8B2C84F5D843B9259F6F9D484265B17458F4C72A685F6187',NULL,X'F16B9170D66394BCB2693AD00A6D430E48E8DCC7FFE648A6B67CC9F6BB4C5A52');
INSERT INTO "chain" VALUES(22,'minutes',9,9,1,X'',NULL,X'1A917F8B0EC2862D4150225978FDE5C52CBCEB6B1F01C1570B9823582358DFC5');
INSERT INTO "chain" VALUES(23,'drift',89,99,11,X'51A93233A6CC81B5D9945DC3A1BAB7DAD6829109C088F84688B88E3DF040BC4575A281F5297C676155FBAF8C',NULL,X'9C3946E901D87117A4DAAEED6EB11F7316511A375177B8C6E1B2871BB0506FA7');
INSERT INTO "chain" VALUES(24,'alert_events',2,2,1,X'',NULL,X'4477DE170E661BE49E8CCEC24FD6295C4C72E553ECA7220B1D2F6C7799AB638E');
INSERT INTO "chain" VALUES(25,'minutes',11,11,1,X'',NULL,X'6961FB50213CD05B47E648CD34F6E71CAB68D88B7FB7750C915C6A2C177EA649');
INSERT INTO "chain" VALUES(26,'minutes',12,12,1,X'',NULL,X'C7D5FBDAEDD17332A6B764F0233D967081301B80B0D8656F83134A20C11201AB');
INSERT INTO "chain" VALUES(27,'minutes',13,13,1,X'',NULL,X'CAEFA0AE77255C186CED3772143683B098EA356030A399D69D1D91A7F3622E17');
INSERT INTO "chain" VALUES(28,'minutes',14,14,1,X'',NULL,X'6CFCCCFAC0E1905D1DD94A430F797DFE978AFDC689973386188E32B3EFF0A441');
CREATE TABLE chain_roots (
            stream TEXT PRIMARY KEY,             -- what was pruned from the beginning of a stream, signed off
            entries INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            first INTEGER NOT NULL,              -- id of the first row that was pruned
            last INTEGER NOT NULL,
            changed INTEGER NOT NULL,            -- entries that did not fit their link when they were pruned
            totals TEXT NOT NULL,                -- JSON object: what the rows added up to
            pruned TEXT NOT NULL,
            link BLOB NOT NULL                   -- link of the last pruned entry, on which the next one builds
        ) STRICT, WITHOUT ROWID;
CREATE TABLE columns (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            role TEXT NOT NULL,
            kind TEXT NOT NULL,
            bins TEXT NOT NULL,                  -- JSON array: a label for each count
            UNIQUE (model_id, position)
        ) STRICT;
INSERT INTO "columns" VALUES(1,1,0,'x0','feature','numeric','["(-inf, -3.3]", "(-3.3, -1.6436]", "(-1.6436, -1.281]", "(-1.281, -1.056]", "(-1.056, -0.89057]", "(-0.89057, -0.715]", "(-0.715, -0.562]", "(-0.562, -0.41]", "(-0.41, -0.291]", "(-0.291, -0.165]", "(-0.165, -0.0614]", "(-0.0614, 0.045]", "(0.045, 0.165]", "(0.165, 0.303]", "(0.303, 0.45]", "(0.45, 0.6374]", "(0.6374, 0.788]", "(0.788, 1.004]", "(1.004, 1.235]", "(1.235, 1.593]", "(1.593, 3.05]", "(3.05, +inf)", "__missing__", "__nonfinite__"]');
INSERT INTO "columns" VALUES(2,1,1,'x1','feature','numeric','["(-inf, -3.7]", "(-3.7, -1.5896]", "(-1.5896, -1.25]", "(-1.25, -1.04]", "(-1.04, -0.83]", "(-0.83, -0.689]", "(-0.689, -0.5328]", "(-0.5328, -0.388]", "(-0.388, -0.258875]", "(-0.258875, -0.128]", "(-0.128, 0.008]", "(0.008, 0.116]", "(0.116, 0.25]", "(0.25, 0.386]", "(0.386, 0.527]", "(0.527, 0.68]", "(0.68, 0.878]", "(0.878, 1.03065]", "(1.03065, 1.28]", "(1.28, 1.667]", "(1.667, 3.26]", "(3.26, +inf)", "__missing__", "__nonfinite__"]');
INSERT INTO "columns" VALUES(3,1,2,'colour','feature','categorical','["blue", "green", "red", "__other__", "__missing__"]');
INSERT INTO "columns" VALUES(4,1,3,'prediction','prediction','numeric','["(-inf, -3.3]", "(-3.3, -1.63]", "(-1.63, -1.2998]", "(-1.2998, -1.046]", "(-1.046, -0.852]", "(-0.852, -0.686]", "(-0.686, -0.52]", "(-0.52, -0.39149]", "(-0.39149, -0.2737]", "(-0.2737, -0.132]", "(-0.132, 0.004]", "(0.004, 0.1135]", "(0.1135, 0.235]", "(0.235, 0.3542]", "(0.3542, 0.484]", "(0.484, 0.624]", "(0.624, 0.804]", "(0.804, 1.02]", "(1.02, 1.266]", "(1.266, 1.6415]", "(1.6415, 3.8]", "(3.8, +inf)", "__missing__", "__nonfinite__"]');
CREATE TABLE drift (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,                    -- of the evaluation
            rule TEXT NOT NULL,
            "column" TEXT NOT NULL,
            role TEXT NOT NULL,
            kind TEXT NOT NULL,
            statistic TEXT NOT NULL,
            value REAL,                          -- NULL: no verdict; `state` says why
            critical REAL,
            floor REAL,
            p_value REAL,
            n INTEGER NOT NULL,                  -- rows of the test window that count for this statistic
            m INTEGER NOT NULL,                  -- rows of the reference
            state TEXT NOT NULL,
            direction TEXT,
            window_start TEXT NOT NULL,
            window_end TEXT NOT NULL,
            reference TEXT NOT NULL,
            model_version TEXT NOT NULL,
            reason TEXT NOT NULL DEFAULT ''
        , question_id INTEGER REFERENCES questions, seen INTEGER) STRICT;
INSERT INTO "drift" VALUES(1,'2023-11-15T00:01:00Z','drift','x0','feature','numeric','ks',NULL,NULL,0.08,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(2,'2023-11-15T00:01:00Z','drift','x0','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(3,'2023-11-15T00:01:00Z','drift','x0','feature','numeric','missing',NULL,NULL,0.03,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(4,'2023-11-15T00:01:00Z','drift','x1','feature','numeric','ks',NULL,NULL,0.08,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(5,'2023-11-15T00:01:00Z','drift','x1','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(6,'2023-11-15T00:01:00Z','drift','x1','feature','numeric','missing',NULL,NULL,0.03,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(7,'2023-11-15T00:01:00Z','drift','colour','feature','categorical','kl',NULL,NULL,0.05,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(8,'2023-11-15T00:01:00Z','drift','colour','feature','categorical','missing',NULL,NULL,0.03,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(9,'2023-11-15T00:01:00Z','drift','prediction','prediction','numeric','ks',NULL,NULL,0.08,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(10,'2023-11-15T00:01:00Z','drift','prediction','prediction','numeric','wasserstein',NULL,NULL,0.2,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(11,'2023-11-15T00:01:00Z','drift','prediction','prediction','numeric','missing',NULL,NULL,0.03,NULL,12,2000,'insufficient data',NULL,'2023-11-14T23:31:00Z','2023-11-15T00:01:00Z','training 8b269ceff734','v1','12 rows in this window, 50 needed',1,1);
INSERT INTO "drift" VALUES(12,'2023-11-15T00:02:00Z','drift','x0','feature','numeric','ks',NULL,NULL,0.08,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(13,'2023-11-15T00:02:00Z','drift','x0','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(14,'2023-11-15T00:02:00Z','drift','x0','feature','numeric','missing',NULL,NULL,0.03,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(15,'2023-11-15T00:02:00Z','drift','x1','feature','numeric','ks',NULL,NULL,0.08,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(16,'2023-11-15T00:02:00Z','drift','x1','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(17,'2023-11-15T00:02:00Z','drift','x1','feature','numeric','missing',NULL,NULL,0.03,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(18,'2023-11-15T00:02:00Z','drift','colour','feature','categorical','kl',NULL,NULL,0.05,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(19,'2023-11-15T00:02:00Z','drift','colour','feature','categorical','missing',NULL,NULL,0.03,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(20,'2023-11-15T00:02:00Z','drift','prediction','prediction','numeric','ks',NULL,NULL,0.08,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(21,'2023-11-15T00:02:00Z','drift','prediction','prediction','numeric','wasserstein',NULL,NULL,0.2,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(22,'2023-11-15T00:02:00Z','drift','prediction','prediction','numeric','missing',NULL,NULL,0.03,NULL,24,2000,'insufficient data',NULL,'2023-11-14T23:32:00Z','2023-11-15T00:02:00Z','training 8b269ceff734','v1','24 rows in this window, 50 needed',1,2);
INSERT INTO "drift" VALUES(23,'2023-11-15T00:03:00Z','drift','x0','feature','numeric','ks',NULL,NULL,0.08,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(24,'2023-11-15T00:03:00Z','drift','x0','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(25,'2023-11-15T00:03:00Z','drift','x0','feature','numeric','missing',NULL,NULL,0.03,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(26,'2023-11-15T00:03:00Z','drift','x1','feature','numeric','ks',NULL,NULL,0.08,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(27,'2023-11-15T00:03:00Z','drift','x1','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(28,'2023-11-15T00:03:00Z','drift','x1','feature','numeric','missing',NULL,NULL,0.03,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(29,'2023-11-15T00:03:00Z','drift','colour','feature','categorical','kl',NULL,NULL,0.05,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(30,'2023-11-15T00:03:00Z','drift','colour','feature','categorical','missing',NULL,NULL,0.03,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(31,'2023-11-15T00:03:00Z','drift','prediction','prediction','numeric','ks',NULL,NULL,0.08,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(32,'2023-11-15T00:03:00Z','drift','prediction','prediction','numeric','wasserstein',NULL,NULL,0.2,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(33,'2023-11-15T00:03:00Z','drift','prediction','prediction','numeric','missing',NULL,NULL,0.03,NULL,36,2000,'insufficient data',NULL,'2023-11-14T23:33:00Z','2023-11-15T00:03:00Z','training 8b269ceff734','v1','36 rows in this window, 50 needed',1,3);
INSERT INTO "drift" VALUES(34,'2023-11-15T00:04:00Z','drift','x0','feature','numeric','ks',NULL,NULL,0.08,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(35,'2023-11-15T00:04:00Z','drift','x0','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(36,'2023-11-15T00:04:00Z','drift','x0','feature','numeric','missing',NULL,NULL,0.03,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(37,'2023-11-15T00:04:00Z','drift','x1','feature','numeric','ks',NULL,NULL,0.08,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(38,'2023-11-15T00:04:00Z','drift','x1','feature','numeric','wasserstein',NULL,NULL,0.2,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(39,'2023-11-15T00:04:00Z','drift','x1','feature','numeric','missing',NULL,NULL,0.03,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(40,'2023-11-15T00:04:00Z','drift','colour','feature','categorical','kl',NULL,NULL,0.05,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(41,'2023-11-15T00:04:00Z','drift','colour','feature','categorical','missing',NULL,NULL,0.03,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(42,'2023-11-15T00:04:00Z','drift','prediction','prediction','numeric','ks',NULL,NULL,0.08,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(43,'2023-11-15T00:04:00Z','drift','prediction','prediction','numeric','wasserstein',NULL,NULL,0.2,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(44,'2023-11-15T00:04:00Z','drift','prediction','prediction','numeric','missing',NULL,NULL,0.03,NULL,48,2000,'insufficient data',NULL,'2023-11-14T23:34:00Z','2023-11-15T00:04:00Z','training 8b269ceff734','v1','48 rows in this window, 50 needed',1,4);
INSERT INTO "drift" VALUES(45,'2023-11-15T00:05:00Z','drift','x0','feature','numeric','ks',1.16666666666666654639e-01,3.13412010130538543073e-01,0.08,4.09583971853548778341e-01,60,2000,'ok','up by 0.065 standard deviations','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(46,'2023-11-15T00:05:00Z','drift','x0','feature','numeric','wasserstein',2.86216205627405351208e-01,6.41501626463634622155e-01,0.2,1.05702212256608793494e-01,60,2000,'ok','up by 0.065 standard deviations','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(47,'2023-11-15T00:05:00Z','drift','x0','feature','numeric','missing',0.0,0.05,0.03,1.0,60,2000,'ok','missing unchanged at 0 %','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(48,'2023-11-15T00:05:00Z','drift','x1','feature','numeric','ks',8.3333333333333287074e-02,3.13412010130538543073e-01,0.08,8.90551533069029233047e-01,60,2000,'ok','down by 0.093 standard deviations','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(49,'2023-11-15T00:05:00Z','drift','x1','feature','numeric','wasserstein',2.00925835827124366073e-01,6.65496633802640236154e-01,0.2,3.42391459436156786466e-01,60,2000,'ok','down by 0.093 standard deviations','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(50,'2023-11-15T00:05:00Z','drift','x1','feature','numeric','missing',0.0,0.05,0.03,1.0,60,2000,'ok','missing unchanged at 0 %','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(51,'2023-11-15T00:05:00Z','drift','colour','feature','categorical','kl',8.68414757953560878522e-02,2.81595702860994112626e-01,0.05,0.160020899731294,60,2000,'ok','grew: blue (33 % to 45 %), red (34 % to 35 %); shrank: green (33 % to 20 %)','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(52,'2023-11-15T00:05:00Z','drift','colour','feature','categorical','missing',0.0,0.05,0.03,1.0,60,2000,'ok','missing unchanged at 0 %','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(53,'2023-11-15T00:05:00Z','drift','prediction','prediction','numeric','ks',6.66666666666666657414e-02,3.13412010130538543073e-01,0.08,1.0,60,2000,'ok','mean and median unchanged','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(54,'2023-11-15T00:05:00Z','drift','prediction','prediction','numeric','wasserstein',1.25690033926525307483e-01,6.87784608776785821859e-01,0.2,6.56053074977853922788e-01,60,2000,'ok','mean and median unchanged','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(55,'2023-11-15T00:05:00Z','drift','prediction','prediction','numeric','missing',0.0,0.05,0.03,1.0,60,2000,'ok','missing unchanged at 0 %','2023-11-14T23:35:00Z','2023-11-15T00:05:00Z','training 8b269ceff734','v1','',1,5);
INSERT INTO "drift" VALUES(56,'2023-11-15T00:06:00Z','drift','x0','feature','numeric','ks',1.08333333333333253767e-01,2.86936817557075563023e-01,0.08,3.91360186197057258183e-01,72,2000,'ok','mean and median unchanged','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(57,'2023-11-15T00:06:00Z','drift','x0','feature','numeric','wasserstein',0.237096708417425,5.86397057000893506817e-01,0.2,1.55837753899974229554e-01,72,2000,'ok','mean and median unchanged','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(58,'2023-11-15T00:06:00Z','drift','x0','feature','numeric','missing',0.0,4.16666666666666643537e-02,0.03,1.0,72,2000,'ok','missing unchanged at 0 %','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(59,'2023-11-15T00:06:00Z','drift','x1','feature','numeric','ks',1.05555555555555499736e-01,2.86936817557075563023e-01,0.08,4.25051743468211229437e-01,72,2000,'ok','down by 0.13 standard deviations','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(60,'2023-11-15T00:06:00Z','drift','x1','feature','numeric','wasserstein',2.38962797252677161541e-01,6.0762134883241647465e-01,0.2,1.70483816838587182163e-01,72,2000,'ok','down by 0.13 standard deviations','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(61,'2023-11-15T00:06:00Z','drift','x1','feature','numeric','missing',0.0,4.16666666666666643537e-02,0.03,1.0,72,2000,'ok','missing unchanged at 0 %','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(62,'2023-11-15T00:06:00Z','drift','colour','feature','categorical','kl',0.0731868115259944,2.31253834088573112515e-01,0.05,1.37845168852956057037e-01,72,2000,'ok','grew: blue (33 % to 44 %), red (34 % to 35 %); shrank: green (33 % to 21 %)','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(63,'2023-11-15T00:06:00Z','drift','colour','feature','categorical','missing',0.0,4.16666666666666643537e-02,0.03,1.0,72,2000,'ok','missing unchanged at 0 %','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(64,'2023-11-15T00:06:00Z','drift','prediction','prediction','numeric','ks',7.22222222222222154375e-02,2.86936817557075563023e-01,0.08,9.68638749194041803747e-01,72,2000,'ok','down by 0.051 standard deviations','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(65,'2023-11-15T00:06:00Z','drift','prediction','prediction','numeric','wasserstein',1.31433824859566367182e-01,6.29008862507505206451e-01,0.2,5.81936702546357098597e-01,72,2000,'ok','down by 0.051 standard deviations','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(66,'2023-11-15T00:06:00Z','drift','prediction','prediction','numeric','missing',0.0,4.16666666666666643537e-02,0.03,1.0,72,2000,'ok','missing unchanged at 0 %','2023-11-14T23:36:00Z','2023-11-15T00:06:00Z','training 8b269ceff734','v1','',1,6);
INSERT INTO "drift" VALUES(67,'2023-11-15T00:07:00Z','drift','x0','feature','numeric','ks',1.19047619047619068766e-01,2.64619591674152276894e-01,0.08,2.03551566011428902713e-01,84,2000,'ok','up by 0.22 standard deviations','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(68,'2023-11-15T00:07:00Z','drift','x0','feature','numeric','wasserstein',0.252970063423234,5.42479253714266640429e-01,0.2,8.9787320764215958202e-02,84,2000,'ok','up by 0.22 standard deviations','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(69,'2023-11-15T00:07:00Z','drift','x0','feature','numeric','missing',0.0,3.57142857142857123031e-02,0.03,1.0,84,2000,'ok','missing unchanged at 0 %','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(70,'2023-11-15T00:07:00Z','drift','x1','feature','numeric','ks',5.23809523809523891468e-02,2.64619591674152276894e-01,0.08,1.0,84,2000,'ok','mean and median unchanged','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(71,'2023-11-15T00:07:00Z','drift','x1','feature','numeric','wasserstein',1.1221834241096879936e-01,5.60812015286500264998e-01,0.2,6.15810562017304219395e-01,84,2000,'ok','mean and median unchanged','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(72,'2023-11-15T00:07:00Z','drift','x1','feature','numeric','missing',0.0,3.57142857142857123031e-02,0.03,1.0,84,2000,'ok','missing unchanged at 0 %','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(73,'2023-11-15T00:07:00Z','drift','colour','feature','categorical','kl',8.35447727773958925823e-01,1.83717273044984447105e-01,0.05,4.42010846846773125312e-27,84,2000,'drift','grew: __other__ (0 % to 14 %), blue (33 % to 38 %); shrank: green (33 % to 18 %), red (34 % to 30 %)','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(74,'2023-11-15T00:07:00Z','drift','colour','feature','categorical','missing',0.0,3.57142857142857123031e-02,0.03,1.0,84,2000,'ok','missing unchanged at 0 %','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(75,'2023-11-15T00:07:00Z','drift','prediction','prediction','numeric','ks',5.23809523809523613913e-02,2.64619591674152276894e-01,0.08,1.0,84,2000,'ok','mean unchanged, median down by 0.055 standard deviations','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(76,'2023-11-15T00:07:00Z','drift','prediction','prediction','numeric','wasserstein',1.31442416949374057955e-01,5.79362474352086320728e-01,0.2,5.36883860225230158391e-01,84,2000,'ok','mean unchanged, median down by 0.055 standard deviations','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(77,'2023-11-15T00:07:00Z','drift','prediction','prediction','numeric','missing',0.0,3.57142857142857123031e-02,0.03,1.0,84,2000,'ok','missing unchanged at 0 %','2023-11-14T23:37:00Z','2023-11-15T00:07:00Z','training 8b269ceff734','v1','',1,7);
INSERT INTO "drift" VALUES(78,'2023-11-15T00:08:00Z','drift','x0','feature','numeric','ks',1.52083333333333403647e-01,2.48240594877978060228e-01,0.08,2.88891494416776174747e-02,96,2000,'ok','up by 0.38 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(79,'2023-11-15T00:08:00Z','drift','x0','feature','numeric','wasserstein',4.35488986596320570843e-01,5.11507783128772430814e-01,0.2,4.37724892906637204521e-04,96,2000,'ok','up by 0.38 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(80,'2023-11-15T00:08:00Z','drift','x0','feature','numeric','missing',0.0,0.03125,0.03,1.0,96,2000,'ok','missing unchanged at 0 %','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(81,'2023-11-15T00:08:00Z','drift','x1','feature','numeric','ks',7.70833333333333925452e-02,2.48240594877978060228e-01,0.08,6.73387560988417677165e-01,96,2000,'ok','up by 0.23 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(82,'2023-11-15T00:08:00Z','drift','x1','feature','numeric','wasserstein',2.47750523298835567675e-01,5.29178420441070884727e-01,0.2,8.91650446468296303814e-02,96,2000,'ok','up by 0.23 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(83,'2023-11-15T00:08:00Z','drift','x1','feature','numeric','missing',0.0,0.03125,0.03,1.0,96,2000,'ok','missing unchanged at 0 %','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(84,'2023-11-15T00:08:00Z','drift','colour','feature','categorical','kl',1.5460672071340184619e+00,1.58238519455738746444e-01,0.05,4.62641249342069251545e-59,96,2000,'drift','grew: __other__ (0 % to 25 %), blue (33 % to 33 %); shrank: green (33 % to 16 %), red (34 % to 26 %)','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(85,'2023-11-15T00:08:00Z','drift','colour','feature','categorical','missing',0.0,0.03125,0.03,1.0,96,2000,'ok','missing unchanged at 0 %','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(86,'2023-11-15T00:08:00Z','drift','prediction','prediction','numeric','ks',5.62499999999999597544e-02,2.48240594877978060228e-01,0.08,1.0,96,2000,'ok','mean unchanged, median down by 0.086 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(87,'2023-11-15T00:08:00Z','drift','prediction','prediction','numeric','wasserstein',1.269738896111165527e-01,5.42840362563798639605e-01,0.2,5.18281622044869383358e-01,96,2000,'ok','mean unchanged, median down by 0.086 standard deviations','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(88,'2023-11-15T00:08:00Z','drift','prediction','prediction','numeric','missing',0.0,0.03125,0.03,1.0,96,2000,'ok','missing unchanged at 0 %','2023-11-14T23:38:00Z','2023-11-15T00:08:00Z','training 8b269ceff734','v1','',1,8);
INSERT INTO "drift" VALUES(89,'2023-11-15T00:09:00Z','drift','x0','feature','numeric','ks',2.05555555555555574676e-01,2.32809563092413851492e-01,0.08,3.47088990793324129058e-04,108,2000,'ok','up by 0.49 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(90,'2023-11-15T00:09:00Z','drift','x0','feature','numeric','wasserstein',5.40730656065188108883e-01,4.80608547187518941878e-01,0.2,1.99421242386301917487e-06,108,2000,'drift','up by 0.49 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(91,'2023-11-15T00:09:00Z','drift','x0','feature','numeric','missing',0.0,2.77777777777777762358e-02,0.03,1.0,108,2000,'ok','missing unchanged at 0 %','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(92,'2023-11-15T00:09:00Z','drift','x1','feature','numeric','ks',1.22222222222222315357e-01,2.32809563092413851492e-01,0.08,9.3648544406032027676e-02,108,2000,'ok','up by 0.35 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(93,'2023-11-15T00:09:00Z','drift','x1','feature','numeric','wasserstein',3.81085464751070301936e-01,4.97669615214662408586e-01,0.2,2.07606149838784328695e-03,108,2000,'ok','up by 0.35 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(94,'2023-11-15T00:09:00Z','drift','x1','feature','numeric','missing',0.0,2.77777777777777762358e-02,0.03,1.0,108,2000,'ok','missing unchanged at 0 %','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(95,'2023-11-15T00:09:00Z','drift','colour','feature','categorical','kl',2.14463318803544256141e+00,1.37645513443122285979e-01,0.05,7.14585847513169138177e-93,108,2000,'drift','grew: __other__ (0 % to 33 %); shrank: green (33 % to 14 %), red (34 % to 23 %), blue (33 % to 30 %)','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(96,'2023-11-15T00:09:00Z','drift','colour','feature','categorical','missing',0.0,2.77777777777777762358e-02,0.03,1.0,108,2000,'ok','missing unchanged at 0 %','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(97,'2023-11-15T00:09:00Z','drift','prediction','prediction','numeric','ks',3.88888888888888201167e-02,2.32809563092413851492e-01,0.08,1.0,108,2000,'ok','mean unchanged, median down by 0.061 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(98,'2023-11-15T00:09:00Z','drift','prediction','prediction','numeric','wasserstein',9.57259002074236364787e-02,5.07740647847749304588e-01,0.2,6.50772526236364279306e-01,108,2000,'ok','mean unchanged, median down by 0.061 standard deviations','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
INSERT INTO "drift" VALUES(99,'2023-11-15T00:09:00Z','drift','prediction','prediction','numeric','missing',0.0,2.77777777777777762358e-02,0.03,1.0,108,2000,'ok','missing unchanged at 0 %','2023-11-14T23:39:00Z','2023-11-15T00:09:00Z','training 8b269ceff734','v1','',1,9);
CREATE TABLE gaps (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,                  -- dropped, damaged
            "start" TEXT NOT NULL,
            "end" TEXT NOT NULL,
            lost INTEGER,                        -- predictions that no window has; NULL where it cannot be known
            detail TEXT NOT NULL
        ) STRICT;
CREATE TABLE guards (
            name TEXT PRIMARY KEY,               -- of the table
            changed INTEGER NOT NULL,            -- 1: by somebody who did not renew the digest
            digest BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "guards" VALUES('_sqlite_migrations',0,X'C20A2657F02E4C95C4BD79B161CDD5C2595F4EFCA9D3E77882109C5EE723E4B4');
INSERT INTO "guards" VALUES('alerts',0,X'5FD6BAA3C25AFADAD4E0364628026603B80FFDA496DF22F90686533C194AA4DC');
INSERT INTO "guards" VALUES('chain_roots',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
INSERT INTO "guards" VALUES('meta',0,X'CF964354B051912AAE320D73AD57A87671472DDA662F71C05F8DE6A29088573F');
INSERT INTO "guards" VALUES('notification_groups',0,X'692F3E9FD6D7CD47840D6774826B31DE933B4619D543AF6D5A01BF0A0ADDC384');
INSERT INTO "guards" VALUES('notification_totals',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
INSERT INTO "guards" VALUES('silences',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
INSERT INTO "guards" VALUES('unseen_values',0,X'080A9ED428559EF602668B4C00F114F1A11C3F6B02A435F0BDC154578E4D7F22');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('applied_seq','115');
INSERT INTO "meta" VALUES('evaluations','9');
INSERT INTO "meta" VALUES('replica','710136c1');
INSERT INTO "meta" VALUES('retention_clock','1700006940.0');
CREATE TABLE models (
            id INTEGER PRIMARY KEY,
            version TEXT NOT NULL,
            model_sha256 TEXT NOT NULL,
            reference_sha256 TEXT NOT NULL,
            reference TEXT NOT NULL,             -- the reference file's text
            first_served TEXT NOT NULL,
            predictions INTEGER NOT NULL DEFAULT 0,
            UNIQUE (version, reference_sha256)
        ) STRICT;
INSERT INTO "models" VALUES(1,'v1','','8b269ceff734d5c857b26e0889b3ddfc12eea623fa5f6af7d8e2009072fa0bda','# HELP telltale_reference_info What this reference was made from; the value is always 1.
# TYPE telltale_reference_info gauge
telltale_reference_info{model_sha256="",created="",rows="2000",source="telltale"} 1.0
# HELP telltale_column_info Each column with its role, kind and position; the value is always 1.
# TYPE telltale_column_info gauge
telltale_column_info{column="x0",role="feature",kind="numeric",position="0"} 1.0
telltale_column_info{column="x1",role="feature",kind="numeric",position="1"} 1.0
telltale_column_info{column="colour",role="feature",kind="categorical",position="2"} 1.0
telltale_column_info{column="prediction",role="prediction",kind="numeric",position="3"} 1.0
# HELP telltale_value_reference Reference rows at or below each bin edge, by numeric column.
# TYPE telltale_value_reference histogram
telltale_value_reference_bucket{column="x0",role="feature",le="-3.3"} 0.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.6436"} 100.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.281"} 200.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.056"} 300.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.89057"} 400.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.715"} 500.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.562"} 600.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.41"} 700.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.291"} 800.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.165"} 900.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.0614"} 1000.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.045"} 1100.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.165"} 1200.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.303"} 1300.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.45"} 1400.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.6374"} 1500.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.788"} 1600.0
telltale_value_reference_bucket{column="x0",role="feature",le="1.004"} 1700.0
telltale_value_reference_bucket{column="x0",role="feature",le="1.235"} 1800.0
telltale_value_reference_bucket{column="x0",role="feature",le="1.593"} 1900.0
telltale_value_reference_bucket{column="x0",role="feature",le="3.05"} 2000.0
telltale_value_reference_bucket{column="x0",role="feature",le="+Inf"} 2000.0
telltale_value_reference_count{column="x0",role="feature"} 2000.0
telltale_value_reference_sum{column="x0",role="feature"} -79.90707075726635
telltale_value_reference_bucket{column="x1",role="feature",le="-3.7"} 0.0
telltale_value_reference_bucket{column="x1",role="feature",le="-1.5896"} 100.0
telltale_value_reference_bucket{column="x1",role="feature",le="-1.25"} 200.0
telltale_value_reference_bucket{column="x1",role="feature",le="-1.04"} 300.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.83"} 400.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.689"} 500.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.5328"} 600.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.388"} 700.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.258875"} 800.0
telltale_value_reference_bucket{column="x1",role="feature",le="-0.128"} 900.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.008"} 1000.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.116"} 1100.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.25"} 1200.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.386"} 1300.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.527"} 1400.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.68"} 1500.0
telltale_value_reference_bucket{column="x1",role="feature",le="0.878"} 1600.0
telltale_value_reference_bucket{column="x1",role="feature",le="1.03065"} 1700.0
telltale_value_reference_bucket{column="x1",role="feature",le="1.28"} 1800.0
telltale_value_reference_bucket{column="x1",role="feature",le="1.667"} 1900.0
telltale_value_reference_bucket{column="x1",role="feature",le="3.26"} 2000.0
telltale_value_reference_bucket{column="x1",role="feature",le="+Inf"} 2000.0
telltale_value_reference_count{column="x1",role="feature"} 2000.0
telltale_value_reference_sum{column="x1",role="feature"} 9.502287451186376
telltale_value_reference_bucket{column="prediction",role="prediction",le="-3.3"} 0.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.63"} 100.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.2998"} 200.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.046"} 300.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.852"} 400.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.686"} 500.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.52"} 600.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.39149"} 700.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.2737"} 800.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.132"} 900.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.004"} 1000.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.1135"} 1100.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.235"} 1200.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.3542"} 1300.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.484"} 1400.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.624"} 1500.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.804"} 1600.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="1.02"} 1700.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="1.266"} 1800.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="1.6415"} 1900.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="3.8"} 2000.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="+Inf"} 2000.0
telltale_value_reference_count{column="prediction",role="prediction"} 2000.0
telltale_value_reference_sum{column="prediction",role="prediction"} -29.243069016671345
# HELP telltale_category_reference Reference rows in each category, by categorical column.
# TYPE telltale_category_reference gauge
telltale_category_reference{column="colour",role="feature",category="blue"} 655.0
telltale_category_reference{column="colour",role="feature",category="green"} 658.0
telltale_category_reference{column="colour",role="feature",category="red"} 687.0
telltale_category_reference{column="colour",role="feature",category="__other__"} 0.0
# HELP telltale_missing_reference Reference rows in which the column was missing (None or NaN).
# TYPE telltale_missing_reference gauge
telltale_missing_reference{column="x0",role="feature"} 0.0
telltale_missing_reference{column="x1",role="feature"} 0.0
telltale_missing_reference{column="colour",role="feature"} 0.0
telltale_missing_reference{column="prediction",role="prediction"} 0.0
# HELP telltale_nonfinite_reference Reference rows in which the column was infinite.
# TYPE telltale_nonfinite_reference gauge
telltale_nonfinite_reference{column="x0",role="feature"} 0.0
telltale_nonfinite_reference{column="x1",role="feature"} 0.0
telltale_nonfinite_reference{column="prediction",role="prediction"} 0.0
# HELP telltale_deviation_reference Standard deviation of the column over the finite reference values.
# TYPE telltale_deviation_reference gauge
telltale_deviation_reference{column="x0",role="feature"} 0.9846452126947004
telltale_deviation_reference{column="x1",role="feature"} 0.9977448022454367
telltale_deviation_reference{column="prediction",role="prediction"} 0.9872037009648779
','2023-11-15T00:00:00Z',14049149);
CREATE TABLE notification_groups (
            receiver TEXT NOT NULL,
            "group" TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            event_id TEXT NOT NULL,
            opened REAL NOT NULL,                -- seconds since 1970 UTC
            last REAL NOT NULL,                  -- seconds since 1970 UTC
            changes INTEGER NOT NULL,            -- transitions since the last message
            told TEXT NOT NULL,                  -- JSON array: rule, role, column, event id, since, severity, resolved,
                                                 -- labels
            PRIMARY KEY (receiver, "group")
        ) STRICT, WITHOUT ROWID;
INSERT INTO "notification_groups" VALUES('log','drift',1,'ue4iayoxat',1700006820.0,1700006820.0,1,'[["drift","feature","colour","ue4iayoxat",1700006820.0,"warning",null,{}]]');
CREATE TABLE notification_totals (
            receiver TEXT NOT NULL,
            outcome TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (receiver, outcome)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE notifications (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,                    -- of the evaluation that wrote it
            receiver TEXT NOT NULL,
            "group" TEXT NOT NULL,               -- the rule; empty for a digest and for Alertmanager
            sequence INTEGER NOT NULL,           -- counts the messages of a receiver and group
            kind TEXT NOT NULL,                  -- firing, update, repeat, resolved, digest, picture, state, resend
            severity TEXT NOT NULL,
            event_id TEXT NOT NULL,
            model_version TEXT NOT NULL,
            message TEXT NOT NULL,               -- JSON object: what is told, before any provider's format
            state TEXT NOT NULL,                 -- pending, sending, sent, dead, collapsed, skipped
            attempts INTEGER NOT NULL,
            attempted TEXT,                      -- when the last attempt began
            next_try REAL,                       -- seconds since 1970 UTC, not before which it is tried again
            plain INTEGER NOT NULL DEFAULT 0,    -- 1: markup was refused, it goes on as plain text
            doubt INTEGER NOT NULL DEFAULT 0,    -- 1: an attempt may have arrived without an answer
            settled TEXT,
            answer TEXT, chain_id INTEGER,                         -- what the provider said last
            UNIQUE (receiver, "group", sequence)
        ) STRICT;
INSERT INTO "notifications" VALUES(1,'2023-11-15T00:07:00Z','log','drift',1,'firing','warning','ue4iayoxat','v1','{"kind":"firing","group":"drift","severity":"warning","event_id":"ue4iayoxat","at":1700006820.0,"model":"v1","entries":[{"column":"colour","role":"feature","status":"new","severity":"warning","event_id":"ue4iayoxat","since":1700006820.0,"until":null,"labels":{},"statistic":"kl","value":0.8354477277739589,"threshold":0.18371727304498445,"n":84,"m":2000,"direction":"","mean":null,"mean_deviations":null,"median":null,"median_deviations":null,"moves":[["__other__",0.0,0.14285714285714285],["blue",0.3275,0.38095238095238093],["green",0.329,0.17857142857142858],["red",0.3435,0.2976190476190476]],"reference":"training 8b269ceff734","window":[1700005020.0,1700006820.0],"sketches":["\u2587\u2587\u2587\u00b7","\u2588\u2584\u2586\u2583"],"scale":["blue",""],"histogram":null}],"opened":1700006820.0,"changes":1,"link":"http://127.0.0.1:5000","lines":[],"ends":null,"delayed":0.0,"repeated":false}','pending',0,NULL,NULL,0,0,NULL,NULL,NULL);
CREATE TABLE open_counts (
            id INTEGER PRIMARY KEY,              -- window * 100000 + columns.position
            counts TEXT NOT NULL,                -- JSON array, a number for each of columns.bins, but for last zeros
            sum REAL                             -- of the finite values; NULL for a categorical column
        ) STRICT;
INSERT INTO "open_counts" VALUES(1000000,'[0,0,0,1,0,1,0,1,0,0,0,1,0,0,0,1,1,0,1]',-8.86692289350087259336e-02);
INSERT INTO "open_counts" VALUES(1000001,'[0,0,0,1,0,0,0,0,0,0,0,1,0,0,1,0,2,0,1,0,1]',4.04640335767138736855e+00);
INSERT INTO "open_counts" VALUES(1000002,'[4,1,2]',NULL);
INSERT INTO "open_counts" VALUES(1000003,'[0,0,0,1,0,0,1,0,0,0,0,0,1,0,0,2,0,1,0,1]',1.84318126069954324464e+00);
CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            rule TEXT NOT NULL,
            asked TEXT NOT NULL,                 -- JSON object: statistic, alpha, floor, min_samples, columns
            UNIQUE (model_id, rule, asked)
        ) STRICT;
INSERT INTO "questions" VALUES(1,1,'drift','{"statistic":"auto","alpha":0.00015,"floor":null,"min_samples":50,"columns":[0,1,2,3],"auto":[["ks","wasserstein","missing"],["kl","missing"]]}');
CREATE TABLE reference_changes (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            model_id INTEGER NOT NULL REFERENCES models,
            action TEXT NOT NULL,                -- accept: compare with this stretch from now on; reset: with training
            "start" TEXT,                        -- of the stretch; NULL for a reset
            "end" TEXT,
            n INTEGER,                           -- predictions in it
            counts TEXT,                         -- JSON array of arrays, one for each column of the model
            sums TEXT,                           -- JSON array, a number for each column
            author TEXT NOT NULL,
            reason TEXT NOT NULL
        ) STRICT;
CREATE TABLE sealed_counts (
            id INTEGER PRIMARY KEY,              -- window * 100000 + columns.position
            counts TEXT NOT NULL,                -- JSON array, a number for each of columns.bins, but for last zeros
            sum REAL                             -- of the finite values; NULL for a categorical column
        ) STRICT;
INSERT INTO "sealed_counts" VALUES(100000,'[0,0,1,0,0,0,0,1,0,0,0,1,0,1,4,2,0,2]',2.82421760878801286764e+00);
INSERT INTO "sealed_counts" VALUES(100001,'[0,0,0,0,0,2,0,1,2,2,0,2,0,0,0,1,0,1,0,1]',-4.11450765762380044066e-02);
INSERT INTO "sealed_counts" VALUES(100002,'[6,1,5]',NULL);
INSERT INTO "sealed_counts" VALUES(100003,'[0,1,0,2,0,0,0,1,1,0,1,1,1,0,0,0,2,0,0,0,2]',7.45211861344106329951e-01);
INSERT INTO "sealed_counts" VALUES(200000,'[0,0,0,0,1,1,1,1,0,0,2,1,1,0,1,1,1,1]',-4.54328939180310586998e-01);
INSERT INTO "sealed_counts" VALUES(200001,'[0,0,0,3,1,0,0,1,1,0,1,1,1,1,0,0,0,2]',-2.92539445216756588408e+00);
INSERT INTO "sealed_counts" VALUES(200002,'[6,3,3]',NULL);
INSERT INTO "sealed_counts" VALUES(200003,'[0,1,1,0,0,1,0,1,2,0,1,0,1,1,0,0,2,1]',-2.25153347694909600207e+00);
INSERT INTO "sealed_counts" VALUES(300000,'[0,0,0,1,0,0,1,0,0,1,1,1,0,1,1,1,1,2,1]',2.47587092116241658246e+00);
INSERT INTO "sealed_counts" VALUES(300001,'[0,1,1,0,1,0,1,0,0,1,1,1,0,2,0,1,1,0,1]',-1.9682678588286268706e+00);
INSERT INTO "sealed_counts" VALUES(300002,'[5,0,7]',NULL);
INSERT INTO "sealed_counts" VALUES(300003,'[0,1,1,0,1,1,0,0,0,0,0,2,0,0,1,1,1,1,0,1,1]',9.84629939568828937979e-01);
INSERT INTO "sealed_counts" VALUES(400000,'[0,0,0,1,1,2,0,1,3,1,0,0,0,1,0,2]',-4.29396426988179058525e+00);
INSERT INTO "sealed_counts" VALUES(400001,'[0,0,0,2,1,0,0,1,0,1,3,0,0,1,2,0,0,0,0,1]',-1.24106107916427799153e+00);
INSERT INTO "sealed_counts" VALUES(400002,'[6,3,3]',NULL);
INSERT INTO "sealed_counts" VALUES(400003,'[0,1,0,1,1,0,1,0,1,1,1,0,2,0,0,0,1,1,0,1]',-1.85336047661312308676e+00);
INSERT INTO "sealed_counts" VALUES(500000,'[0,1,0,0,0,0,2,0,0,0,2,1,1,2,0,0,1,1,0,0,1]',8.91126197572872480456e-01);
INSERT INTO "sealed_counts" VALUES(500001,'[0,0,1,2,1,1,0,0,0,0,0,1,1,0,1,1,0,1,0,1,1]',8.69027117021708539468e-01);
INSERT INTO "sealed_counts" VALUES(500002,'[4,5,3]',NULL);
INSERT INTO "sealed_counts" VALUES(500003,'[0,0,1,3,0,0,1,0,0,0,1,0,1,0,1,1,0,0,1,0,2]',3.37595432146923668526e-01);
INSERT INTO "sealed_counts" VALUES(600000,'[0,0,0,1,1,0,2,1,2,2,1,0,0,0,0,1,0,0,0,0,1]',-2.62975822901969324973e+00);
INSERT INTO "sealed_counts" VALUES(600001,'[0,0,1,1,0,1,1,1,2,1,0,1,0,1,1,0,1]',-3.40918018798770905419e+00);
INSERT INTO "sealed_counts" VALUES(600002,'[5,3,4]',NULL);
INSERT INTO "sealed_counts" VALUES(600003,'[0,0,2,1,0,1,1,0,1,1,0,1,1,0,0,1,1,0,0,0,1]',-2.60887935986227326168e+00);
INSERT INTO "sealed_counts" VALUES(700000,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,0,2,3,4]',1.61942565786485666019e+01);
INSERT INTO "sealed_counts" VALUES(700001,'[0,0,0,0,1,0,0,0,1,0,0,0,1,0,1,1,1,0,0,3,3]',1.17138482845077724898e+01);
INSERT INTO "sealed_counts" VALUES(700002,'[0,0,0,12]',NULL);
INSERT INTO "sealed_counts" VALUES(700003,'[0,1,0,0,1,2,0,1,1,0,1,0,0,0,0,1,1,2,0,0,1]',1.04138649616049216994e+00);
INSERT INTO "sealed_counts" VALUES(800000,'[0,0,0,0,0,0,0,0,0,0,0,0,1,0,0,1,1,1,0,1,7]',1.70117287479814827122e+01);
INSERT INTO "sealed_counts" VALUES(800001,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,2,3,3,1]',1.98199506585497502442e+01);
INSERT INTO "sealed_counts" VALUES(800002,'[0,0,0,12]',NULL);
INSERT INTO "sealed_counts" VALUES(800003,'[0,1,1,0,0,1,1,0,2,0,3,0,0,0,0,0,0,1,0,2]',-1.62676189516894398323e+00);
INSERT INTO "sealed_counts" VALUES(900000,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,3,0,2,1,3,3]',1.57366336556687205217e+01);
INSERT INTO "sealed_counts" VALUES(900001,'[0,0,0,0,0,1,0,0,0,0,0,0,2,0,1,0,0,1,0,1,6]',1.52238591161123331123e+01);
INSERT INTO "sealed_counts" VALUES(900002,'[0,0,0,12]',NULL);
INSERT INTO "sealed_counts" VALUES(900003,'[0,1,0,0,0,1,1,0,1,0,1,1,0,0,1,1,0,4]',1.16198498307554842767e+00);
INSERT INTO "sealed_counts" VALUES(1100000,'[2046,0,0,3]',0.0);
INSERT INTO "sealed_counts" VALUES(1100001,'[2046,0,0,3]',0.5);
INSERT INTO "sealed_counts" VALUES(1100002,'[2046,0,0,3]',NULL);
INSERT INTO "sealed_counts" VALUES(1100003,'[2046,0,0,3]',1.5);
INSERT INTO "sealed_counts" VALUES(1200000,'[0,2047,0,0,3]',0.0);
INSERT INTO "sealed_counts" VALUES(1200001,'[0,2047,0,0,3]',0.5);
INSERT INTO "sealed_counts" VALUES(1200002,'[0,2047,0,0,3]',NULL);
INSERT INTO "sealed_counts" VALUES(1200003,'[0,2047,0,0,3]',1.5);
INSERT INTO "sealed_counts" VALUES(1300000,'[0,0,7022464,0,0,3]',0.0);
INSERT INTO "sealed_counts" VALUES(1300001,'[0,0,7022464,0,0,3]',0.5);
INSERT INTO "sealed_counts" VALUES(1300002,'[3,0,7022464]',NULL);
INSERT INTO "sealed_counts" VALUES(1300003,'[0,0,7022464,0,0,3]',1.5);
INSERT INTO "sealed_counts" VALUES(1400000,'[0,0,0,7022465,0,0,3]',0.0);
INSERT INTO "sealed_counts" VALUES(1400001,'[0,0,0,7022465,0,0,3]',0.5);
INSERT INTO "sealed_counts" VALUES(1400002,'[0,3,0,7022465]',NULL);
INSERT INTO "sealed_counts" VALUES(1400003,'[0,0,0,7022465,0,0,3]',1.5);
CREATE TABLE silences (
            id TEXT PRIMARY KEY,
            matchers TEXT NOT NULL,              -- JSON object
            "start" TEXT NOT NULL,
            "end" TEXT NOT NULL,
            author TEXT NOT NULL,
            reason TEXT NOT NULL,
            created TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE totals (
            column_id INTEGER PRIMARY KEY REFERENCES columns,
            counts TEXT NOT NULL,
            sum REAL
        ) STRICT;
INSERT INTO "totals" VALUES(1,'[2046,2048,7022465,7022472,6,7,9,5,5,4,6,5,3,5,6,13,7,9,5,7,16]',4.76671130428052620704e+01);
INSERT INTO "totals" VALUES(2,'[2046,2048,7022467,7022477,8,8,5,4,6,5,5,7,5,5,7,4,6,7,4,10,14,1]',4.4088039879138534614e+01);
INSERT INTO "totals" VALUES(3,'[2085,2066,7022491,7022504,3]',NULL);
INSERT INTO "totals" VALUES(4,'[2046,2054,7022470,7022476,6,10,9,3,9,2,9,5,7,1,3,7,8,11,1,5,7]',3.77345476440200755519e+00);
CREATE TABLE unseen_values (
            column_id INTEGER NOT NULL REFERENCES columns,
            value TEXT NOT NULL,
            count INTEGER NOT NULL,
            first_seen TEXT NOT NULL,
            last_seen TEXT NOT NULL, mark BLOB,
            PRIMARY KEY (column_id, value)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "unseen_values" VALUES(3,'mauve',36,'2023-11-15T00:07:00Z','2023-11-15T00:09:00Z',X'622125D100800E72');
CREATE TABLE windows (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            seconds INTEGER NOT NULL,            -- length of the window
            start INTEGER NOT NULL,              -- seconds since 1970 UTC; the window is [start, start + seconds)
            start_utc TEXT GENERATED ALWAYS AS (strftime('%Y-%m-%dT%H:%M:%SZ', start, 'unixepoch')) VIRTUAL,
            n INTEGER NOT NULL,                  -- predictions
            sealed INTEGER NOT NULL DEFAULT 0,   -- 1: never changed again; a late record opens another window
            finest INTEGER NOT NULL DEFAULT 1    -- 1: no shorter window has these predictions: sum over these rows only
        , parent_id INTEGER REFERENCES windows, children INTEGER NOT NULL DEFAULT 0, chain_id INTEGER) STRICT;
INSERT INTO "windows" VALUES(1,1,60,1700006400,12,1,1,NULL,0,3);
INSERT INTO "windows" VALUES(2,1,60,1700006460,12,1,1,NULL,0,6);
INSERT INTO "windows" VALUES(3,1,60,1700006520,12,1,1,NULL,0,8);
INSERT INTO "windows" VALUES(4,1,60,1700006580,12,1,1,NULL,0,10);
INSERT INTO "windows" VALUES(5,1,60,1700006640,12,1,1,NULL,0,12);
INSERT INTO "windows" VALUES(6,1,60,1700006700,12,1,1,NULL,0,14);
INSERT INTO "windows" VALUES(7,1,60,1700006760,12,1,1,NULL,0,16);
INSERT INTO "windows" VALUES(8,1,60,1700006820,12,1,1,NULL,0,20);
INSERT INTO "windows" VALUES(9,1,60,1700006880,12,1,1,NULL,0,22);
INSERT INTO "windows" VALUES(10,1,60,1700006940,7,0,1,NULL,0,NULL);
INSERT INTO "windows" VALUES(11,1,60,1700007600,2049,1,1,NULL,0,25);
INSERT INTO "windows" VALUES(12,1,60,1700007660,2050,1,1,NULL,0,26);
INSERT INTO "windows" VALUES(13,1,60,1700007720,7022467,1,1,NULL,0,27);
INSERT INTO "windows" VALUES(14,1,60,1700007780,7022468,1,1,NULL,0,28);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX windows_by_start ON windows (model_id, seconds, start);
CREATE INDEX drift_by_time ON drift (at);
CREATE INDEX alert_events_by_time ON alert_events (at);
CREATE INDEX notifications_open ON notifications (receiver, id) WHERE state IN ('pending', 'sending');
CREATE INDEX notifications_by_state ON notifications (receiver, state);
CREATE INDEX windows_not_rolled ON windows (seconds, start) WHERE parent_id IS NULL;
CREATE INDEX windows_by_parent ON windows (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX windows_with_parts ON windows (seconds, start) WHERE NOT finest;
CREATE INDEX windows_not_chained ON windows (id) WHERE sealed AND chain_id IS NULL;
CREATE INDEX notifications_not_chained ON notifications (id)
            WHERE chain_id IS NULL AND kind <> 'resend' AND state NOT IN ('pending', 'sending');
CREATE INDEX notifications_by_time ON notifications (at);
CREATE INDEX chain_by_stream ON chain (stream, id);
CREATE TRIGGER meta_INSERT AFTER INSERT ON meta BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'meta' AND NOT changed;
        END;
CREATE TRIGGER meta_UPDATE AFTER UPDATE ON meta BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'meta' AND NOT changed;
        END;
CREATE TRIGGER meta_DELETE AFTER DELETE ON meta BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'meta' AND NOT changed;
        END;
CREATE TRIGGER alerts_INSERT AFTER INSERT ON alerts BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'alerts' AND NOT changed;
        END;
CREATE TRIGGER alerts_UPDATE AFTER UPDATE ON alerts BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'alerts' AND NOT changed;
        END;
CREATE TRIGGER alerts_DELETE AFTER DELETE ON alerts BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'alerts' AND NOT changed;
        END;
CREATE TRIGGER silences_INSERT AFTER INSERT ON silences BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'silences' AND NOT changed;
        END;
CREATE TRIGGER silences_UPDATE AFTER UPDATE ON silences BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'silences' AND NOT changed;
        END;
CREATE TRIGGER silences_DELETE AFTER DELETE ON silences BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'silences' AND NOT changed;
        END;
CREATE TRIGGER notification_groups_INSERT AFTER INSERT ON notification_groups BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_groups' AND NOT changed;
        END;
CREATE TRIGGER notification_groups_UPDATE AFTER UPDATE ON notification_groups BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_groups' AND NOT changed;
        END;
CREATE TRIGGER notification_groups_DELETE AFTER DELETE ON notification_groups BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_groups' AND NOT changed;
        END;
CREATE TRIGGER notification_totals_INSERT AFTER INSERT ON notification_totals BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_totals' AND NOT changed;
        END;
CREATE TRIGGER notification_totals_UPDATE AFTER UPDATE ON notification_totals BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_totals' AND NOT changed;
        END;
CREATE TRIGGER notification_totals_DELETE AFTER DELETE ON notification_totals BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'notification_totals' AND NOT changed;
        END;
CREATE TRIGGER chain_roots_INSERT AFTER INSERT ON chain_roots BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'chain_roots' AND NOT changed;
        END;
CREATE TRIGGER chain_roots_UPDATE AFTER UPDATE ON chain_roots BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'chain_roots' AND NOT changed;
        END;
CREATE TRIGGER chain_roots_DELETE AFTER DELETE ON chain_roots BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'chain_roots' AND NOT changed;
        END;
CREATE VIEW histograms AS
            SELECT window_id, column_id,
                   -- With the zeros at the end, so that it has a number for each bin.
                   rtrim(counts, ']')
                   || replace(hex(zeroblob(json_array_length(bins) - json_array_length(counts))), '00', ',0')
                   || ']' AS counts,
                   sum
            FROM (
                SELECT w.id AS window_id, c.id AS column_id, c.bins, coalesce(s.counts, o.counts) AS counts,
                       coalesce(s.sum, o.sum) AS sum
                FROM windows w
                JOIN columns c ON c.model_id = w.model_id
                LEFT JOIN sealed_counts s ON s.id = w.id * 100000 + c.position
                LEFT JOIN open_counts o ON o.id = w.id * 100000 + c.position
                WHERE s.id IS NOT NULL OR o.id IS NOT NULL
            );
CREATE TRIGGER histograms_update INSTEAD OF UPDATE ON histograms BEGIN
            UPDATE sealed_counts SET counts = NEW.counts, sum = NEW.sum
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
            UPDATE open_counts SET counts = NEW.counts, sum = NEW.sum
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
        END;
CREATE TRIGGER histograms_delete INSTEAD OF DELETE ON histograms BEGIN
            DELETE FROM sealed_counts
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
            DELETE FROM open_counts
                WHERE id = OLD.window_id * 100000 + (SELECT position FROM columns WHERE id = OLD.column_id);
        END;
CREATE VIEW histogram_bins AS
            SELECT w.start_utc AS start, w.seconds, m.version AS model_version, c.name AS "column", c.role,
                   label.key AS bin, label.value AS label,
                   json_extract(h.counts, '$[' || label.key || ']') AS count, w.id AS window_id
            FROM windows w
            JOIN models m ON m.id = w.model_id
            JOIN histograms h ON h.window_id = w.id
            JOIN columns c ON c.id = h.column_id
            JOIN json_each(c.bins) AS label
            WHERE w.finest;
CREATE TRIGGER _sqlite_migrations_INSERT AFTER INSERT ON _sqlite_migrations BEGIN
            UPDATE guards SET changed = 1 WHERE name = '_sqlite_migrations' AND NOT changed;
        END;
CREATE TRIGGER _sqlite_migrations_UPDATE AFTER UPDATE ON _sqlite_migrations BEGIN
            UPDATE guards SET changed = 1 WHERE name = '_sqlite_migrations' AND NOT changed;
        END;
CREATE TRIGGER _sqlite_migrations_DELETE AFTER DELETE ON _sqlite_migrations BEGIN
            UPDATE guards SET changed = 1 WHERE name = '_sqlite_migrations' AND NOT changed;
        END;
CREATE TRIGGER unseen_values_INSERT AFTER INSERT ON unseen_values BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'unseen_values' AND NOT changed;
        END;
CREATE TRIGGER unseen_values_UPDATE AFTER UPDATE ON unseen_values BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'unseen_values' AND NOT changed;
        END;
CREATE TRIGGER unseen_values_DELETE AFTER DELETE ON unseen_values BEGIN
            UPDATE guards SET changed = 1 WHERE name = 'unseen_values' AND NOT changed;
        END;
CREATE VIEW alert_history AS
            SELECT e.at, e.rule, e."column", e.role, e.before, e.after, e.severity, e.statistic, e.value, e.event_id,
                   n.receiver, n.kind AS message, n.state AS outcome, n.settled AS told_at, n.answer,
                   e.model_version, e.reason, e.id
            FROM alert_events e
            LEFT JOIN notifications n
                   ON n.at >= e.at
                  AND EXISTS (SELECT 1 FROM json_each(n.message, '$.entries') AS entry
                              WHERE json_extract(entry.value, '$.event_id') = e.event_id);
CREATE VIEW unseen AS
            SELECT c.name AS "column", c.role, m.version AS model_version, u.value, u.count, u.first_seen, u.last_seen
            FROM unseen_values u
            JOIN columns c ON c.id = u.column_id
            JOIN models m ON m.id = c.model_id;
CREATE VIEW verdicts AS
            SELECT d.*, q.asked, m.id AS model_id, m.model_sha256, m.reference_sha256, m.first_served
            FROM drift d
            LEFT JOIN questions q ON q.id = d.question_id
            LEFT JOIN models m ON m.id = q.model_id;
COMMIT;
