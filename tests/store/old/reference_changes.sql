-- A database as it was written before counts_by_number: `sqlite3.Connection.iterdump` of nine judged minutes and an open one.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'telltale','windows','2026-11-26 23:28:22.680670+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'telltale','drift_and_alerts','2026-11-26 23:28:22.682361+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'telltale','notifications','2026-11-26 23:28:22.683812+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'telltale','tiers_and_chain','2026-11-26 23:28:22.688993+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'telltale','reference_changes','2026-11-26 23:28:22.692075+00:00');
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
INSERT INTO "alert_events" VALUES(1,'2023-11-15T00:02:00Z','drift','colour','feature','inactive','firing','kl',9.59887254042348758709e-01,6.33168789023265343729e-01,24,'warning','yk53f7dvqb','v1','the condition holds');
INSERT INTO "alert_events" VALUES(2,'2023-11-15T00:07:00Z','drift','x0','feature','inactive','firing','ks',6.76190476190476230655e-01,3.68355853652958087351e-01,84,'warning','v6gnme2zii','v1','the condition holds');
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
INSERT INTO "alerts" VALUES('drift','feature','colour','firing','2023-11-15T00:02:00Z','2023-11-15T00:02:00Z',0.0,NULL,'2023-11-15T00:09:00Z','yk53f7dvqb','warning',4.74088372881946,'{}','kl',0);
INSERT INTO "alerts" VALUES('drift','feature','x0','firing','2023-11-15T00:07:00Z','2023-11-15T00:07:00Z',0.0,NULL,'2023-11-15T00:09:00Z','v6gnme2zii','warning',9.22222222222222276499e-01,'{}','ks',0);
INSERT INTO "alerts" VALUES('drift','prediction','prediction','inactive','2023-11-15T00:01:00Z',NULL,0.0,NULL,'2023-11-15T00:09:00Z','','warning',1.00000000000000033306e-01,'{}','',0);
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
INSERT INTO "chain" VALUES(1,'models',1,1,1,X'',NULL,X'4AD6FDF8E87BC111BA610E1BE828501B0DBDACD38F78752A36355B79E0321E87');
INSERT INTO "chain" VALUES(2,'columns',1,3,3,X'22315208B48C7742E517B6BA',NULL,X'63C4E073C2ED9A7B1880011A765A93400F263BF08CAE2D319E29311A57877318');
INSERT INTO "chain" VALUES(3,'minutes',1,1,1,X'',NULL,X'77FDE4661B62CD4C3338CCBD5FB417FFDBCF8871142A9771233B14A28FF95977');
INSERT INTO "chain" VALUES(4,'drift',1,6,6,X'AC056ACE22C65CDA671EC2E3E540507BCE43B2AC2CD9D443',NULL,X'7728EC2D0257D52512203BF22E914FBA6AF4FC212AD19709731A4B84DF09DB11');
INSERT INTO "chain" VALUES(5,'questions',1,1,1,X'',NULL,X'36535ECB9322ED7649DB319186E40E7F84AD7474776F566095323A5D19FFA2C3');
INSERT INTO "chain" VALUES(6,'minutes',2,2,1,X'',NULL,X'436CE86B5BC89A031C86EB572AE6943A5DFEAAD0A03D52196C9E045014CFB286');
INSERT INTO "chain" VALUES(7,'drift',7,12,6,X'85811FEC082F068FAD0CCDD664CCDC4F96E37E17D9E7FDC8',NULL,X'EE2344BAD5BE9470A370D5E1D8A548E3808667F6FD198F6FC902FD200E1BAC5D');
INSERT INTO "chain" VALUES(8,'alert_events',1,1,1,X'',NULL,X'F4C73105E7A145C4586D06EDCDDB7C21313F9B655590DA0210CC6CFE508EB776');
INSERT INTO "chain" VALUES(9,'messages',1,1,1,X'',NULL,X'2F0BE947F8229AACE02FA9C9DD77AC4E66713680261E842B9D8D33DC0E6983FE');
INSERT INTO "chain" VALUES(10,'minutes',3,3,1,X'',NULL,X'1F59E7D17343E917BB787D4406D7D78535D675C732B064EF82EEE4E761AA2536');
INSERT INTO "chain" VALUES(11,'drift',13,18,6,X'0ED632F1E1DF874BC84B90C238F688F7C621F6C7573F4038',NULL,X'49445F77AED19BFFC52BBC1D3115A9DA7F8CE7FB476EE503A491F0279845CE64');
INSERT INTO "chain" VALUES(12,'minutes',4,4,1,X'',NULL,X'103BC858FB8C16369207ED616E96A683DFE5E7E981F0440FB7C518FE31BE4372');
INSERT INTO "chain" VALUES(13,'drift',19,24,6,X'E21B63018A20EF61B64F7D7BD212A83FE0084B8F205BCF54',NULL,X'B4D5043ED4DA46C3120DAC248A68E47BAEA511DAE615E77D3AE0A0B0A0C1B550');
INSERT INTO "chain" VALUES(14,'minutes',5,5,1,X'',NULL,X'10AD8E258378B12B7202FC456167B53E87A03A5375F48DB9755BD7D998627B47');
INSERT INTO "chain" VALUES(15,'drift',25,30,6,X'EA9C3343D6BAB06C21C98AACAAEE1B6D01994626C02A8181',NULL,X'AD190DBCA4349A3BD5BC4E7FA37BB628F04EF2D0532402CF641573C9EFDB49F6');
INSERT INTO "chain" VALUES(16,'minutes',6,6,1,X'',NULL,X'B56C45F34B9E01421C7F8AFC0F9526A9C3A21005731B8A7AAA3797A0F43B1EBC');
INSERT INTO "chain" VALUES(17,'drift',31,36,6,X'6D34D7839ED76A8DA7D7F2A189FA7BAEF938737BF8F982BF',NULL,X'0592F96424E455D7C002BFDB9FA45787E28A9577408AA5DF2CC05B8A8C842518');
INSERT INTO "chain" VALUES(18,'minutes',7,7,1,X'',NULL,X'ABDBCE73FB45BB11D88740EBF4BC624BA83A788B2AB1B961616E9F88BA4F7E41');
INSERT INTO "chain" VALUES(19,'drift',37,42,6,X'F98FD48BE4A8749E26A90364DAFF9187D6A58E238BC51A06',NULL,X'D8DF630B7C77F031BE1F56C2692CAEFFD057339164D8A7ED21CB433E749F09E0');
INSERT INTO "chain" VALUES(20,'alert_events',2,2,1,X'',NULL,X'A53EDD2B21A8817BABB09BBA8669A8B66E3F995ACDEBB70EF93E41CC1F5B820A');
INSERT INTO "chain" VALUES(21,'messages',2,2,1,X'',NULL,X'3210F372628E9BE2DADC6D9FFE53B8D44882C5295CDB051E66272C1C283D3A1D');
INSERT INTO "chain" VALUES(22,'minutes',8,8,1,X'',NULL,X'45D23E2761C4B08D68379EFBE821B99844CFDF7E9E0AC06B20177EB81B5BCC13');
INSERT INTO "chain" VALUES(23,'drift',43,48,6,X'C5DEBDF9C82AD564901965197F93EBEC20BADBB5CBFD50DB',NULL,X'70BFB308E2F5EE824ACEFEA1840649D46DB2B4E7FCF13AAE3ED9FC04F39CE1C6');
INSERT INTO "chain" VALUES(24,'minutes',9,9,1,X'',NULL,X'512D08015F62993BEC0CC2EE4F9692F9EC14CAC6A8F095B7E8577F87BED1FB8B');
INSERT INTO "chain" VALUES(25,'drift',49,54,6,X'9411782C24DADBF2E0161D7CDAF57EF0A67B2A5DF1CB453F',NULL,X'7FE9FA04C41DCEED3FF1E2D82EBA97D28F5FD6AE7C7F905CAA3D51315D958C39');
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
INSERT INTO "columns" VALUES(1,1,0,'x0','feature','numeric','["(-inf, -2.56]", "(-2.56, -1.7]", "(-1.7, -1.3]", "(-1.3, -1.2]", "(-1.2, -0.95]", "(-0.95, -0.808]", "(-0.808, -0.63]", "(-0.63, -0.5]", "(-0.5, -0.456]", "(-0.456, -0.2]", "(-0.2, -0.1]", "(-0.1, -0.03]", "(-0.03, 0.062]", "(0.062, 0.1]", "(0.1, 0.116]", "(0.116, 0.29]", "(0.29, 0.5]", "(0.5, 0.69]", "(0.69, 0.87]", "(0.87, 1.35]", "(1.35, 2.05]", "(2.05, +inf)", "__missing__", "__nonfinite__"]');
INSERT INTO "columns" VALUES(2,1,1,'colour','feature','categorical','["green", "red", "__other__", "__missing__"]');
INSERT INTO "columns" VALUES(3,1,2,'prediction','prediction','numeric','["(-inf, -2.17]", "(-2.17, -1.9]", "(-1.9, -1.4]", "(-1.4, -1.1]", "(-1.1, -0.9]", "(-0.9, -0.84]", "(-0.84, -0.625]", "(-0.625, -0.4]", "(-0.4, -0.24]", "(-0.24, -0.157]", "(-0.157, -0.07]", "(-0.07, -0.01]", "(-0.01, 0.06]", "(0.06, 0.18]", "(0.18, 0.3]", "(0.3, 0.5]", "(0.5, 0.7]", "(0.7, 0.8]", "(0.8, 1]", "(1, 1.25]", "(1.25, 2.3]", "(2.3, +inf)", "__missing__", "__nonfinite__"]');
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
INSERT INTO "drift" VALUES(1,'2023-11-15T00:01:00Z','drift','x0','feature','numeric','ks',4.99999999999999944488e-01,7.27895416014418650263e-01,0.08,1.34758939981709461447e-02,12,60,'ok','up by 0.5 standard deviations','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(2,'2023-11-15T00:01:00Z','drift','x0','feature','numeric','missing',0.0,4.1666666666666668517e-01,0.03,1.0,12,60,'ok','missing unchanged at 0 %','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(3,'2023-11-15T00:01:00Z','drift','colour','feature','categorical','kl',6.86497161027297853053e-01,1.1277374535257460586e+00,0.05,3.29677280235764766716e-03,12,60,'ok','grew: __other__ (0 % to 25 %); shrank: green (50 % to 33 %), red (50 % to 42 %)','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(4,'2023-11-15T00:01:00Z','drift','colour','feature','categorical','missing',0.0,4.1666666666666668517e-01,0.03,1.0,12,60,'ok','missing unchanged at 0 %','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(5,'2023-11-15T00:01:00Z','drift','prediction','prediction','numeric','ks',1.33333333333333275971e-01,7.27895416014418650263e-01,0.08,1.0,12,60,'ok','down by 0.18 standard deviations','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(6,'2023-11-15T00:01:00Z','drift','prediction','prediction','numeric','missing',0.0,4.1666666666666668517e-01,0.03,1.0,12,60,'ok','missing unchanged at 0 %','2023-11-14T23:58:00Z','2023-11-15T00:01:00Z','training a255df4fc727','v1','',1,1);
INSERT INTO "drift" VALUES(7,'2023-11-15T00:02:00Z','drift','x0','feature','numeric','ks',2.91666666666666796192e-01,5.45199456525298331577e-01,0.08,1.08227532445642926628e-01,24,60,'ok','up by 0.38 standard deviations','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(8,'2023-11-15T00:02:00Z','drift','x0','feature','numeric','missing',0.0,2.9166666666666668517e-01,0.03,1.0,24,60,'ok','missing unchanged at 0 %','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(9,'2023-11-15T00:02:00Z','drift','colour','feature','categorical','kl',9.59887254042348758709e-01,6.33168789023265343729e-01,0.05,3.36388609574187534599e-07,24,60,'drift','grew: __other__ (0 % to 33 %); shrank: green (50 % to 33 %), red (50 % to 33 %)','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(10,'2023-11-15T00:02:00Z','drift','colour','feature','categorical','missing',0.0,2.9166666666666668517e-01,0.03,1.0,24,60,'ok','missing unchanged at 0 %','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(11,'2023-11-15T00:02:00Z','drift','prediction','prediction','numeric','ks',8.33333333333333564629e-02,5.45199456525298331577e-01,0.08,1.0,24,60,'ok','mean unchanged, median down by 0.094 standard deviations','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(12,'2023-11-15T00:02:00Z','drift','prediction','prediction','numeric','missing',0.0,2.9166666666666668517e-01,0.03,1.0,24,60,'ok','missing unchanged at 0 %','2023-11-14T23:59:00Z','2023-11-15T00:02:00Z','training a255df4fc727','v1','',1,2);
INSERT INTO "drift" VALUES(13,'2023-11-15T00:03:00Z','drift','x0','feature','numeric','ks',2.5555555555555564684e-01,4.75889100643040963145e-01,0.08,1.0584900216440795706e-01,36,60,'ok','up by 0.28 standard deviations','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(14,'2023-11-15T00:03:00Z','drift','x0','feature','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(15,'2023-11-15T00:03:00Z','drift','colour','feature','categorical','kl',1.19327608458074130304e+00,4.82414315446297370382e-01,0.05,1.30179462298509523564e-11,36,60,'drift','grew: __other__ (0 % to 39 %); shrank: red (50 % to 25 %), green (50 % to 36 %)','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(16,'2023-11-15T00:03:00Z','drift','colour','feature','categorical','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(17,'2023-11-15T00:03:00Z','drift','prediction','prediction','numeric','ks',9.44444444444445113662e-02,4.75889100643040963145e-01,0.08,1.0,36,60,'ok','mean unchanged, median up by 0.065 standard deviations','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(18,'2023-11-15T00:03:00Z','drift','prediction','prediction','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:00:00Z','2023-11-15T00:03:00Z','training a255df4fc727','v1','',1,3);
INSERT INTO "drift" VALUES(19,'2023-11-15T00:04:00Z','drift','x0','feature','numeric','ks',1.44444444444444514141e-01,4.75889100643040963145e-01,0.08,7.8212421500864370838e-01,36,60,'ok','up by 0.15 standard deviations','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(20,'2023-11-15T00:04:00Z','drift','x0','feature','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(21,'2023-11-15T00:04:00Z','drift','colour','feature','categorical','kl',1.42855572142101472365e+00,4.82414315446297370382e-01,0.05,7.13325356393559503612e-14,36,60,'drift','grew: __other__ (0 % to 44 %); shrank: red (50 % to 22 %), green (50 % to 33 %)','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(22,'2023-11-15T00:04:00Z','drift','colour','feature','categorical','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(23,'2023-11-15T00:04:00Z','drift','prediction','prediction','numeric','ks',1.16666666666666737905e-01,4.75889100643040963145e-01,0.08,1.0,36,60,'ok','up by 0.19 standard deviations','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(24,'2023-11-15T00:04:00Z','drift','prediction','prediction','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:01:00Z','2023-11-15T00:04:00Z','training a255df4fc727','v1','',1,4);
INSERT INTO "drift" VALUES(25,'2023-11-15T00:05:00Z','drift','x0','feature','numeric','ks',1.44444444444444514141e-01,4.75889100643040963145e-01,0.08,7.8212421500864370838e-01,36,60,'ok','up by 0.079 standard deviations','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(26,'2023-11-15T00:05:00Z','drift','x0','feature','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(27,'2023-11-15T00:05:00Z','drift','colour','feature','categorical','kl',1.93383843837365199114e+00,4.82414315446297370382e-01,0.05,9.54812361983313814817e-19,36,60,'drift','grew: __other__ (0 % to 56 %); shrank: red (50 % to 17 %), green (50 % to 28 %)','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(28,'2023-11-15T00:05:00Z','drift','colour','feature','categorical','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(29,'2023-11-15T00:05:00Z','drift','prediction','prediction','numeric','ks',9.44444444444444836106e-02,4.75889100643040963145e-01,0.08,1.0,36,60,'ok','up by 0.14 standard deviations','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(30,'2023-11-15T00:05:00Z','drift','prediction','prediction','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:02:00Z','2023-11-15T00:05:00Z','training a255df4fc727','v1','',1,5);
INSERT INTO "drift" VALUES(31,'2023-11-15T00:06:00Z','drift','x0','feature','numeric','ks',1.05555555555555638513e-01,4.75889100643040963145e-01,0.08,1.0,36,60,'ok','mean unchanged, median down by 0.11 standard deviations','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(32,'2023-11-15T00:06:00Z','drift','x0','feature','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(33,'2023-11-15T00:06:00Z','drift','colour','feature','categorical','kl',1.92444081707764724775e+00,4.82414315446297370382e-01,0.05,1.17683025650076297406e-18,36,60,'drift','grew: __other__ (0 % to 56 %); shrank: green (50 % to 19 %), red (50 % to 25 %)','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(34,'2023-11-15T00:06:00Z','drift','colour','feature','categorical','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(35,'2023-11-15T00:06:00Z','drift','prediction','prediction','numeric','ks',9.44444444444444836106e-02,4.75889100643040963145e-01,0.08,1.0,36,60,'ok','up by 0.12 standard deviations','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(36,'2023-11-15T00:06:00Z','drift','prediction','prediction','numeric','missing',0.0,0.25,0.03,1.0,36,60,'ok','missing unchanged at 0 %','2023-11-15T00:03:00Z','2023-11-15T00:06:00Z','training a255df4fc727','v1','',1,6);
INSERT INTO "drift" VALUES(37,'2023-11-15T00:07:00Z','drift','x0','feature','numeric','ks',6.76190476190476230655e-01,3.68355853652958087351e-01,0.08,2.51680257419818651496e-14,84,60,'drift','up by 2.5 standard deviations','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(38,'2023-11-15T00:07:00Z','drift','x0','feature','numeric','missing',0.0,1.90476190476190465616e-01,0.03,1.0,84,60,'ok','missing unchanged at 0 %','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(39,'2023-11-15T00:07:00Z','drift','colour','feature','categorical','kl',3.8678082938636508814e+00,2.89414895553166351405e-01,0.05,2.12786392979381848281e-58,84,60,'drift','grew: __other__ (0 % to 89 %); shrank: green (50 % to 4.8 %), red (50 % to 6 %)','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(40,'2023-11-15T00:07:00Z','drift','colour','feature','categorical','missing',0.0,1.90476190476190465616e-01,0.03,1.0,84,60,'ok','missing unchanged at 0 %','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(41,'2023-11-15T00:07:00Z','drift','prediction','prediction','numeric','ks',6.90476190476189549682e-02,3.68355853652958087351e-01,0.08,1.0,84,60,'ok','mean and median unchanged','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(42,'2023-11-15T00:07:00Z','drift','prediction','prediction','numeric','missing',0.0,1.90476190476190465616e-01,0.03,1.0,84,60,'ok','missing unchanged at 0 %','2023-11-15T00:04:00Z','2023-11-15T00:07:00Z','training a255df4fc727','v1','',1,7);
INSERT INTO "drift" VALUES(43,'2023-11-15T00:08:00Z','drift','x0','feature','numeric','ks',0.828787878787879,3.39304501563042926193e-01,0.08,4.90082370127430384017e-25,132,60,'drift','up by 3.2 standard deviations','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(44,'2023-11-15T00:08:00Z','drift','x0','feature','numeric','missing',0.0,1.74242424242424254199e-01,0.03,1.0,132,60,'ok','missing unchanged at 0 %','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(45,'2023-11-15T00:08:00Z','drift','colour','feature','categorical','kl',4.34204651534728647277e+00,2.45564153802686618854e-01,0.05,2.47736149848307029164e-77,132,60,'drift','grew: __other__ (0 % to 95 %); shrank: green (50 % to 1.5 %), red (50 % to 3 %)','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(46,'2023-11-15T00:08:00Z','drift','colour','feature','categorical','missing',0.0,1.74242424242424254199e-01,0.03,1.0,132,60,'ok','missing unchanged at 0 %','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(47,'2023-11-15T00:08:00Z','drift','prediction','prediction','numeric','ks',6.96969696969697294353e-02,3.39304501563042926193e-01,0.08,1.0,132,60,'ok','up by 0.12 standard deviations','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(48,'2023-11-15T00:08:00Z','drift','prediction','prediction','numeric','missing',0.0,1.74242424242424254199e-01,0.03,1.0,132,60,'ok','missing unchanged at 0 %','2023-11-15T00:05:00Z','2023-11-15T00:08:00Z','training a255df4fc727','v1','',1,8);
INSERT INTO "drift" VALUES(49,'2023-11-15T00:09:00Z','drift','x0','feature','numeric','ks',9.22222222222222276499e-01,3.24859327580210133223e-01,0.08,1.14340517397819369741e-33,180,60,'drift','up by 3.6 standard deviations','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
INSERT INTO "drift" VALUES(50,'2023-11-15T00:09:00Z','drift','x0','feature','numeric','missing',0.0,1.66666666666666657414e-01,0.03,1.0,180,60,'ok','missing unchanged at 0 %','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
INSERT INTO "drift" VALUES(51,'2023-11-15T00:09:00Z','drift','colour','feature','categorical','kl',4.74088372881946,2.25100474319129412181e-01,0.05,3.67892840639366961938e-92,180,60,'drift','grew: __other__ (0 % to 100 %); shrank: green (50 % to 0 %), red (50 % to 0 %)','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
INSERT INTO "drift" VALUES(52,'2023-11-15T00:09:00Z','drift','colour','feature','categorical','missing',0.0,1.66666666666666657414e-01,0.03,1.0,180,60,'ok','missing unchanged at 0 %','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
INSERT INTO "drift" VALUES(53,'2023-11-15T00:09:00Z','drift','prediction','prediction','numeric','ks',1.00000000000000033306e-01,3.24859327580210133223e-01,0.08,8.13139319481197775374e-01,180,60,'ok','up by 0.16 standard deviations','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
INSERT INTO "drift" VALUES(54,'2023-11-15T00:09:00Z','drift','prediction','prediction','numeric','missing',0.0,1.66666666666666657414e-01,0.03,1.0,180,60,'ok','missing unchanged at 0 %','2023-11-15T00:06:00Z','2023-11-15T00:09:00Z','training a255df4fc727','v1','',1,9);
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
INSERT INTO "guards" VALUES('alerts',0,X'4DAB529F24C7D7695B23BF562F1AE5C6727029BBADB9A3D942EEF605BEE3D903');
INSERT INTO "guards" VALUES('chain_roots',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
INSERT INTO "guards" VALUES('meta',0,X'9810AD46CE2909D4F65E1C795E214173EF599F20B8DC4E186E5F498AE8B9EF8A');
INSERT INTO "guards" VALUES('notification_groups',0,X'AF91BD420A29C02969B1D296D26355F1217F94D73843729AD483C2B88F8F189E');
INSERT INTO "guards" VALUES('notification_totals',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
INSERT INTO "guards" VALUES('silences',0,X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
CREATE TABLE histograms (
            window_id INTEGER NOT NULL REFERENCES windows,
            column_id INTEGER NOT NULL REFERENCES columns,
            counts TEXT NOT NULL,                -- JSON array, a number for each of columns.bins
            sum REAL,                            -- of the finite values; NULL for a categorical column
            PRIMARY KEY (window_id, column_id)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "histograms" VALUES(1,1,'[0,0,1,0,0,0,0,1,0,0,0,0,1,0,0,0,5,2,1,1,0,0,0,0]',2.82421760878801286764e+00);
INSERT INTO "histograms" VALUES(1,2,'[4,5,3,0]',NULL);
INSERT INTO "histograms" VALUES(1,3,'[1,0,1,0,0,0,1,1,2,1,0,0,1,0,2,0,0,0,0,1,1,0,0,0]',-3.77194659809672083738e+00);
INSERT INTO "histograms" VALUES(2,1,'[0,0,1,1,1,0,1,1,0,1,0,0,0,0,1,1,0,2,0,0,1,1,0,0]',1.84569534778244337402e-01);
INSERT INTO "histograms" VALUES(2,2,'[4,3,5,0]',NULL);
INSERT INTO "histograms" VALUES(2,3,'[0,0,0,1,1,0,1,1,1,0,0,1,0,0,0,1,1,1,3,0,0,0,0,0]',3.56873956185374874294e-01);
INSERT INTO "histograms" VALUES(3,1,'[0,0,1,0,2,0,0,0,1,1,0,0,1,0,0,4,0,0,1,1,0,0,0,0]',-1.50208663066236236538e+00);
INSERT INTO "histograms" VALUES(3,2,'[5,1,6,0]',NULL);
INSERT INTO "histograms" VALUES(3,3,'[0,0,1,1,0,0,1,1,0,0,1,0,1,0,1,2,1,1,1,0,0,0,0,0]',-5.76654778683259761073e-01);
INSERT INTO "histograms" VALUES(4,1,'[0,1,1,0,0,0,1,0,0,1,1,1,1,0,0,1,1,0,1,2,0,0,0,0]',-1.40308683993278382473e+00);
INSERT INTO "histograms" VALUES(4,2,'[3,4,5,0]',NULL);
INSERT INTO "histograms" VALUES(4,3,'[0,0,0,0,1,0,2,0,0,1,1,0,2,1,0,1,1,0,1,0,1,0,0,0]',1.19320385966442898961e+00);
INSERT INTO "histograms" VALUES(5,1,'[0,1,1,1,1,1,0,1,0,1,0,0,0,0,0,0,0,3,0,0,1,1,0,0]',-2.1277153141033244843e+00);
INSERT INTO "histograms" VALUES(5,2,'[2,1,9,0]',NULL);
INSERT INTO "histograms" VALUES(5,3,'[0,0,0,2,1,0,0,1,0,1,0,2,1,0,1,1,1,0,0,0,1,0,0,0]',-1.44995814092878916312e+00);
INSERT INTO "histograms" VALUES(6,1,'[0,1,0,0,2,1,0,1,0,2,0,0,1,0,0,1,0,0,1,1,1,0,0,0]',-2.96883966487253658783e+00);
INSERT INTO "histograms" VALUES(6,2,'[2,4,6,0]',NULL);
INSERT INTO "histograms" VALUES(6,3,'[0,0,1,1,0,0,0,2,0,0,2,1,0,2,0,0,1,0,1,0,1,0,0,0]',-1.17225422913010879355e+00);
INSERT INTO "histograms" VALUES(7,1,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0,0,1,12,46,0,0]',1.69808089426789791788e+02);
INSERT INTO "histograms" VALUES(7,2,'[0,0,60,0]',NULL);
INSERT INTO "histograms" VALUES(7,3,'[1,0,4,2,3,3,6,3,4,3,0,3,2,4,4,5,5,1,3,1,2,1,0,0]',-7.44763527341010522775e+00);
INSERT INTO "histograms" VALUES(8,1,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,2,6,51,0,0]',1.73191162954111490535e+02);
INSERT INTO "histograms" VALUES(8,2,'[0,0,60,0]',NULL);
INSERT INTO "histograms" VALUES(8,3,'[1,0,3,6,2,1,4,3,2,2,2,1,2,2,2,2,6,5,4,6,4,0,0,0]',2.86844895967939184089e+00);
INSERT INTO "histograms" VALUES(9,1,'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,3,57,0,0]',1.92619075313076052683e+02);
INSERT INTO "histograms" VALUES(9,2,'[0,0,60,0]',NULL);
INSERT INTO "histograms" VALUES(9,3,'[0,2,2,8,2,1,3,3,1,2,2,0,2,2,5,1,7,1,4,4,7,1,0,0]',4.14692177736468181592e+00);
INSERT INTO "histograms" VALUES(10,1,'[0,0,0,0,1,0,0,0,0,0,0,1,1,0,0,0,1,0,1,2,0,0,0,0]',2.29835896985556775717e+00);
INSERT INTO "histograms" VALUES(10,2,'[3,2,2,0]',NULL);
INSERT INTO "histograms" VALUES(10,3,'[0,0,1,0,0,0,1,1,0,0,0,0,0,0,1,0,0,0,2,0,1,0,0,0]',4.91420273731857260024e-01);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('applied_seq','259');
INSERT INTO "meta" VALUES('evaluations','9');
INSERT INTO "meta" VALUES('replica','2cb0e2a8');
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
INSERT INTO "models" VALUES(1,'v1','','a255df4fc7278118823de86e5bc1d8d2a969c40366ab4a4579c99d565e19bc47','# HELP telltale_reference_info What this reference was made from; the value is always 1.
# TYPE telltale_reference_info gauge
telltale_reference_info{model_sha256="",created="",rows="60",source="telltale"} 1.0
# HELP telltale_column_info Each column with its role, kind and position; the value is always 1.
# TYPE telltale_column_info gauge
telltale_column_info{column="x0",role="feature",kind="numeric",position="0"} 1.0
telltale_column_info{column="colour",role="feature",kind="categorical",position="1"} 1.0
telltale_column_info{column="prediction",role="prediction",kind="numeric",position="2"} 1.0
# HELP telltale_value_reference Reference rows at or below each bin edge, by numeric column.
# TYPE telltale_value_reference histogram
telltale_value_reference_bucket{column="x0",role="feature",le="-2.56"} 0.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.7"} 3.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.3"} 6.0
telltale_value_reference_bucket{column="x0",role="feature",le="-1.2"} 9.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.95"} 12.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.808"} 15.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.63"} 18.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.5"} 21.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.456"} 24.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.2"} 27.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.1"} 30.0
telltale_value_reference_bucket{column="x0",role="feature",le="-0.03"} 33.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.062"} 36.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.1"} 39.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.116"} 42.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.29"} 45.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.5"} 48.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.69"} 51.0
telltale_value_reference_bucket{column="x0",role="feature",le="0.87"} 54.0
telltale_value_reference_bucket{column="x0",role="feature",le="1.35"} 57.0
telltale_value_reference_bucket{column="x0",role="feature",le="2.05"} 60.0
telltale_value_reference_bucket{column="x0",role="feature",le="+Inf"} 60.0
telltale_value_reference_count{column="x0",role="feature"} 60.0
telltale_value_reference_sum{column="x0",role="feature"} -12.560819136707124
telltale_value_reference_bucket{column="prediction",role="prediction",le="-2.17"} 0.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.9"} 3.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.4"} 6.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-1.1"} 9.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.9"} 12.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.84"} 15.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.625"} 18.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.4"} 21.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.24"} 24.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.157"} 27.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.07"} 30.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="-0.01"} 33.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.06"} 36.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.18"} 39.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.3"} 42.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.5"} 45.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.7"} 48.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="0.8"} 51.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="1.0"} 54.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="1.25"} 57.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="2.3"} 60.0
telltale_value_reference_bucket{column="prediction",role="prediction",le="+Inf"} 60.0
telltale_value_reference_count{column="prediction",role="prediction"} 60.0
telltale_value_reference_sum{column="prediction",role="prediction"} -9.036038000254198
# HELP telltale_category_reference Reference rows in each category, by categorical column.
# TYPE telltale_category_reference gauge
telltale_category_reference{column="colour",role="feature",category="green"} 30.0
telltale_category_reference{column="colour",role="feature",category="red"} 30.0
telltale_category_reference{column="colour",role="feature",category="__other__"} 0.0
# HELP telltale_missing_reference Reference rows in which the column was missing (None or NaN).
# TYPE telltale_missing_reference gauge
telltale_missing_reference{column="x0",role="feature"} 0.0
telltale_missing_reference{column="colour",role="feature"} 0.0
telltale_missing_reference{column="prediction",role="prediction"} 0.0
# HELP telltale_nonfinite_reference Reference rows in which the column was infinite.
# TYPE telltale_nonfinite_reference gauge
telltale_nonfinite_reference{column="x0",role="feature"} 0.0
telltale_nonfinite_reference{column="prediction",role="prediction"} 0.0
# HELP telltale_deviation_reference Standard deviation of the column over the finite reference values.
# TYPE telltale_deviation_reference gauge
telltale_deviation_reference{column="x0",role="feature"} 0.8817851557306163
telltale_deviation_reference{column="prediction",role="prediction"} 0.9247340554966083
','2023-11-15T00:00:00Z',259);
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
INSERT INTO "notification_groups" VALUES('log','drift',2,'yk53f7dvqb',1700006520.0,1700006820.0,0,'[["drift","feature","colour","yk53f7dvqb",1700006520.0,"warning",null,{}],["drift","feature","x0","v6gnme2zii",1700006820.0,"warning",null,{}]]');
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
INSERT INTO "notifications" VALUES(1,'2023-11-15T00:02:00Z','log','drift',1,'firing','warning','yk53f7dvqb','v1','{"kind":"firing","group":"drift","severity":"warning","event_id":"yk53f7dvqb","at":1700006520.0,"model":"v1","entries":[{"column":"colour","role":"feature","status":"new","severity":"warning","event_id":"yk53f7dvqb","since":1700006520.0,"until":null,"labels":{},"statistic":"kl","value":0.9598872540423488,"threshold":0.6331687890232653,"n":24,"m":60,"direction":"","mean":null,"mean_deviations":null,"median":null,"median_deviations":null,"moves":[["__other__",0.0,0.3333333333333333],["green",0.5,0.3333333333333333],["red",0.5,0.3333333333333333]],"reference":"training a255df4fc727","window":[1700006340.0,1700006520.0],"sketches":["\u2588\u2588\u00b7","\u2585\u2585\u2585"],"scale":["green",""],"histogram":null}],"opened":1700006520.0,"changes":1,"link":"http://127.0.0.1:5000","lines":[],"ends":null,"delayed":0.0,"repeated":false}','pending',0,NULL,NULL,0,0,NULL,NULL,NULL);
INSERT INTO "notifications" VALUES(2,'2023-11-15T00:07:00Z','log','drift',2,'update','warning','yk53f7dvqb','v1','{"kind":"update","group":"drift","severity":"warning","event_id":"yk53f7dvqb","at":1700006820.0,"model":"v1","entries":[{"column":"x0","role":"feature","status":"new","severity":"warning","event_id":"v6gnme2zii","since":1700006820.0,"until":null,"labels":{},"statistic":"ks","value":0.6761904761904762,"threshold":0.3683558536529581,"n":84,"m":60,"direction":"up by 2.5 standard deviations","mean":2.170198586180999,"mean_deviations":2.46114211843683,"median":2.15,"median_deviations":2.438235647342674,"moves":[],"reference":"training a255df4fc727","window":[1700006640.0,1700006820.0],"sketches":["\u00b7\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2583\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u00b7","\u00b7\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2588"],"scale":["-2.56","2.05"],"histogram":null},{"column":"colour","role":"feature","status":"firing","severity":"warning","event_id":"yk53f7dvqb","since":1700006520.0,"until":null,"labels":{},"statistic":"kl","value":3.867808293863651,"threshold":0.28941489555316635,"n":84,"m":60,"direction":"","mean":null,"mean_deviations":null,"median":null,"median_deviations":null,"moves":[["__other__",0.0,0.8928571428571429],["green",0.5,0.047619047619047616],["red",0.5,0.05952380952380952]],"reference":"training a255df4fc727","window":[1700006640.0,1700006820.0],"sketches":["\u2584\u2584\u00b7","\u2581\u2581\u2588"],"scale":["green",""],"histogram":null}],"opened":1700006520.0,"changes":1,"link":"http://127.0.0.1:5000","lines":[],"ends":null,"delayed":0.0,"repeated":false}','pending',0,NULL,NULL,0,0,NULL,NULL,NULL);
CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            model_id INTEGER NOT NULL REFERENCES models,
            rule TEXT NOT NULL,
            asked TEXT NOT NULL,                 -- JSON object: statistic, alpha, floor, min_samples, columns
            UNIQUE (model_id, rule, asked)
        ) STRICT;
INSERT INTO "questions" VALUES(1,1,'drift','{"statistic":"auto","alpha":0.00015,"floor":null,"min_samples":10,"columns":[0,1,2]}');
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
INSERT INTO "totals" VALUES(1,'[0,3,5,2,7,2,2,4,1,6,1,2,5,0,1,8,7,7,6,10,24,156,0,0]',5.32923745357828238401e+02);
INSERT INTO "totals" VALUES(2,'[23,20,216,0]',NULL);
INSERT INTO "totals" VALUES(3,'[3,2,13,21,10,5,19,16,10,10,8,8,11,11,16,13,23,9,19,12,18,2,0,0]',-5.36158019362324811396e+00);
CREATE TABLE unseen_values (
            column_id INTEGER NOT NULL REFERENCES columns,
            value TEXT NOT NULL,
            count INTEGER NOT NULL,
            first_seen TEXT NOT NULL,
            last_seen TEXT NOT NULL, mark BLOB,
            PRIMARY KEY (column_id, value)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "unseen_values" VALUES(2,'blue',36,'2023-11-15T00:01:00Z','2023-11-15T00:09:00Z',X'A8E385AE638F048A');
INSERT INTO "unseen_values" VALUES(2,'mauve',180,'2023-11-15T00:07:00Z','2023-11-15T00:09:00Z',X'8AA7173F76721FEA');
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
INSERT INTO "windows" VALUES(3,1,60,1700006520,12,1,1,NULL,0,10);
INSERT INTO "windows" VALUES(4,1,60,1700006580,12,1,1,NULL,0,12);
INSERT INTO "windows" VALUES(5,1,60,1700006640,12,1,1,NULL,0,14);
INSERT INTO "windows" VALUES(6,1,60,1700006700,12,1,1,NULL,0,16);
INSERT INTO "windows" VALUES(7,1,60,1700006760,60,1,1,NULL,0,18);
INSERT INTO "windows" VALUES(8,1,60,1700006820,60,1,1,NULL,0,22);
INSERT INTO "windows" VALUES(9,1,60,1700006880,60,1,1,NULL,0,24);
INSERT INTO "windows" VALUES(10,1,60,1700006940,7,0,1,NULL,0,NULL);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX windows_by_start ON windows (model_id, seconds, start);
CREATE VIEW histogram_bins AS
            SELECT w.start_utc AS start, w.seconds, m.version AS model_version, c.name AS "column", c.role,
                   bin.key AS bin, label.value AS label, bin.value AS count, w.id AS window_id
            FROM windows w
            JOIN models m ON m.id = w.model_id
            JOIN histograms h ON h.window_id = w.id
            JOIN columns c ON c.id = h.column_id
            JOIN json_each(h.counts) AS bin
            JOIN json_each(c.bins) AS label ON label.key = bin.key
            WHERE w.finest;
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
COMMIT;