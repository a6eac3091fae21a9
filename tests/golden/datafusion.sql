SELECT
  "t1"."time",
  COUNT(*) AS "n",
  SUM("t1"."s0") AS "s0",
  SUM("t1"."s1") AS "s1",
  SUM("t1"."s3") AS "s3"
FROM (
  SELECT
    "t1"."s0",
    "t1"."s1",
    "t1"."s3",
    "t1"."time"
  FROM (
    SELECT
      DATE_TRUNC('MINUTE', "t0"."served_at") AS "time",
      CASE
        WHEN (
          "t0"."age" IS NULL
        )
        OR (
          "t0"."age" IS NOT NULL AND ISNAN("t0"."age")
        )
        OR (
          NOT ISNAN("t0"."age") AND ABS("t0"."age") = CAST('Inf' AS DOUBLE PRECISION)
        )
        THEN 0.0
        ELSE CASE
          WHEN "t0"."age" > 1e+290
          THEN 1e+290
          ELSE CASE WHEN "t0"."age" < -1E+290 THEN -1E+290 ELSE "t0"."age" END
        END
      END AS "s0",
      CAST("t0"."rooms" AS DOUBLE PRECISION) AS "s1",
      CASE
        WHEN (
          CAST("t0"."score" AS DOUBLE PRECISION) IS NULL
        )
        OR (
          CAST("t0"."score" AS DOUBLE PRECISION) IS NOT NULL
          AND ISNAN(CAST("t0"."score" AS DOUBLE PRECISION))
        )
        OR (
          NOT ISNAN(CAST("t0"."score" AS DOUBLE PRECISION))
          AND ABS(CAST("t0"."score" AS DOUBLE PRECISION)) = CAST('Inf' AS DOUBLE PRECISION)
        )
        THEN 0.0
        ELSE CASE
          WHEN CAST("t0"."score" AS DOUBLE PRECISION) > 1e+290
          THEN 1e+290
          ELSE CASE
            WHEN CAST("t0"."score" AS DOUBLE PRECISION) < -1E+290
            THEN -1E+290
            ELSE CAST("t0"."score" AS DOUBLE PRECISION)
          END
        END
      END AS "s3"
    FROM "predictions" AS "t0"
    WHERE
      "t0"."served_at" >= ARROW_CAST('2027-01-15 08:00:00', 'Timestamp(Microsecond, None)')
      AND "t0"."served_at" < ARROW_CAST('2027-01-15 08:01:00', 'Timestamp(Microsecond, None)')
  ) AS "t1"
) AS t1
GROUP BY
  "t1"."time";

SELECT
  "t2"."time",
  "t2"."bin",
  COUNT(*) AS "n"
FROM (
  SELECT
    "t2"."time",
    "t2"."bin"
  FROM (
    SELECT
      DATE_TRUNC('MINUTE', "t1"."served_at") AS "time",
      UNNEST(
        MAKE_ARRAY(
          CASE
            WHEN (
              "t1"."age" IS NULL
            ) OR (
              "t1"."age" IS NOT NULL AND ISNAN("t1"."age")
            )
            THEN 3
            WHEN NOT ISNAN("t1"."age") AND ABS("t1"."age") = CAST('Inf' AS DOUBLE PRECISION)
            THEN 4
            ELSE CASE
              WHEN "t1"."age" <= CAST('0.1' AS DOUBLE PRECISION)
              THEN 0
              ELSE CASE WHEN "t1"."age" <= CAST('30.0' AS DOUBLE PRECISION) THEN 1 ELSE 2 END
            END
          END,
          CASE
            WHEN CAST("t1"."rooms" AS DOUBLE PRECISION) IS NULL
            THEN 9
            ELSE CASE
              WHEN CAST("t1"."rooms" AS DOUBLE PRECISION) <= CAST('2.5' AS DOUBLE PRECISION)
              THEN CASE
                WHEN CAST("t1"."rooms" AS DOUBLE PRECISION) <= CAST('1.5' AS DOUBLE PRECISION)
                THEN 5
                ELSE 6
              END
              ELSE CASE
                WHEN CAST("t1"."rooms" AS DOUBLE PRECISION) <= CAST('3.5' AS DOUBLE PRECISION)
                THEN 7
                ELSE 8
              END
            END
          END,
          CASE
            WHEN "t1"."colour" IS NULL
            THEN 14
            WHEN "t1"."colour" = '__missing__'
            THEN 14
            WHEN "t1"."colour" = 'blue'
            THEN 11
            WHEN "t1"."colour" = 'it''s'
            THEN 12
            ELSE 13
          END,
          CASE
            WHEN (
              CAST("t1"."score" AS DOUBLE PRECISION) IS NULL
            )
            OR (
              CAST("t1"."score" AS DOUBLE PRECISION) IS NOT NULL
              AND ISNAN(CAST("t1"."score" AS DOUBLE PRECISION))
            )
            THEN 17
            WHEN NOT ISNAN(CAST("t1"."score" AS DOUBLE PRECISION))
            AND ABS(CAST("t1"."score" AS DOUBLE PRECISION)) = CAST('Inf' AS DOUBLE PRECISION)
            THEN 18
            ELSE CASE
              WHEN CAST("t1"."score" AS DOUBLE PRECISION) <= CAST('0.5' AS DOUBLE PRECISION)
              THEN 15
              ELSE 16
            END
          END
        )
      ) AS "bin"
    FROM (
      SELECT
        *
      FROM "predictions" AS "t0"
      WHERE
        "t0"."served_at" >= ARROW_CAST('2027-01-15 08:00:00', 'Timestamp(Microsecond, None)')
        AND "t0"."served_at" < ARROW_CAST('2027-01-15 08:01:00', 'Timestamp(Microsecond, None)')
    ) AS "t1"
  ) AS "t2"
) AS t2
GROUP BY
  "t2"."time",
  "t2"."bin";

SELECT
  *
FROM (
  SELECT
    "t3"."value",
    COUNT(*) AS "n"
  FROM (
    SELECT
      "t3"."time",
      "t3"."value"
    FROM (
      SELECT
        *
      FROM (
        SELECT
          DATE_TRUNC('MINUTE', "t1"."served_at") AS "time",
          UNNEST(
            MAKE_ARRAY(
              CASE
                WHEN CASE
                  WHEN "t1"."colour" IS NULL
                  THEN 3
                  WHEN "t1"."colour" = '__missing__'
                  THEN 3
                  WHEN "t1"."colour" = 'blue'
                  THEN 0
                  WHEN "t1"."colour" = 'it''s'
                  THEN 1
                  ELSE 2
                END = 2
                THEN CASE
                  WHEN '2:' IS NULL OR "t1"."colour" IS NULL
                  THEN CAST(NULL AS VARCHAR)
                  ELSE '2:' || "t1"."colour"
                END
                ELSE CAST(NULL AS VARCHAR)
              END
            )
          ) AS "value"
        FROM (
          SELECT
            *
          FROM "predictions" AS "t0"
          WHERE
            "t0"."served_at" >= ARROW_CAST('2027-01-15 08:00:00', 'Timestamp(Microsecond, None)')
            AND "t0"."served_at" < ARROW_CAST('2027-01-15 08:01:00', 'Timestamp(Microsecond, None)')
        ) AS "t1"
      ) AS "t2"
      WHERE
        "t2"."value" IS NOT NULL
    ) AS "t3"
  ) AS t3
  GROUP BY
    "t3"."value"
) AS "t4"
ORDER BY
  "t4"."n" DESC NULLS LAST,
  "t4"."value" ASC
LIMIT 100000;
