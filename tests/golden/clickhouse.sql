SELECT
  "t1"."time" AS "time",
  COUNT(*) AS "n",
  SUM("t1"."s0") AS "s0",
  SUM("t1"."s1") AS "s1",
  SUM("t1"."s3") AS "s3"
FROM (
  SELECT
    dateTrunc('MINUTE', "t0"."served_at") AS "time",
    CASE
      WHEN isNull("t0"."age") OR isNaN("t0"."age") OR isInfinite("t0"."age")
      THEN 0.0
      ELSE CASE
        WHEN "t0"."age" > 1e+290
        THEN 1e+290
        ELSE CASE WHEN "t0"."age" < -1E+290 THEN -1E+290 ELSE "t0"."age" END
      END
    END AS "s0",
    CAST("t0"."rooms" AS Nullable(Float64)) AS "s1",
    CASE
      WHEN isNull(CAST("t0"."score" AS Nullable(Float64)))
      OR isNaN(CAST("t0"."score" AS Nullable(Float64)))
      OR isInfinite(CAST("t0"."score" AS Nullable(Float64)))
      THEN 0.0
      ELSE CASE
        WHEN CAST("t0"."score" AS Nullable(Float64)) > 1e+290
        THEN 1e+290
        ELSE CASE
          WHEN CAST("t0"."score" AS Nullable(Float64)) < -1E+290
          THEN -1E+290
          ELSE CAST("t0"."score" AS Nullable(Float64))
        END
      END
    END AS "s3"
  FROM "predictions" AS "t0"
  WHERE
    "t0"."served_at" >= parseDateTimeBestEffort('2027-01-15T08:00:00')
    AND "t0"."served_at" < parseDateTimeBestEffort('2027-01-15T08:01:00')
) AS "t1"
GROUP BY
  "t1"."time";

SELECT
  "t2"."time" AS "time",
  "t2"."bin" AS "bin",
  COUNT(*) AS "n"
FROM (
  SELECT
    dateTrunc('MINUTE', "t1"."served_at") AS "time",
    arrayJoin(
      [
        CASE
          WHEN isNull("t1"."age") OR isNaN("t1"."age")
          THEN 3
          WHEN isInfinite("t1"."age")
          THEN 4
          ELSE CASE
            WHEN "t1"."age" <= 0.1
            THEN 0
            ELSE CASE WHEN "t1"."age" <= 30.0 THEN 1 ELSE 2 END
          END
        END,
        CASE
          WHEN isNull(CAST("t1"."rooms" AS Nullable(Float64)))
          THEN 9
          ELSE CASE
            WHEN CAST("t1"."rooms" AS Nullable(Float64)) <= 2.5
            THEN CASE WHEN CAST("t1"."rooms" AS Nullable(Float64)) <= 1.5 THEN 5 ELSE 6 END
            ELSE CASE WHEN CAST("t1"."rooms" AS Nullable(Float64)) <= 3.5 THEN 7 ELSE 8 END
          END
        END,
        CASE
          WHEN isNull("t1"."colour")
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
          WHEN isNull(CAST("t1"."score" AS Nullable(Float64)))
          OR isNaN(CAST("t1"."score" AS Nullable(Float64)))
          THEN 17
          WHEN isInfinite(CAST("t1"."score" AS Nullable(Float64)))
          THEN 18
          ELSE CASE WHEN CAST("t1"."score" AS Nullable(Float64)) <= 0.5 THEN 15 ELSE 16 END
        END
      ]
    ) AS "bin"
  FROM (
    SELECT
      *
    FROM "predictions" AS "t0"
    WHERE
      "t0"."served_at" >= parseDateTimeBestEffort('2027-01-15T08:00:00')
      AND "t0"."served_at" < parseDateTimeBestEffort('2027-01-15T08:01:00')
  ) AS "t1"
) AS "t2"
GROUP BY
  "t2"."time",
  "t2"."bin";

SELECT
  *
FROM (
  SELECT
    "t3"."value" AS "value",
    COUNT(*) AS "n"
  FROM (
    SELECT
      *
    FROM (
      SELECT
        dateTrunc('MINUTE', "t1"."served_at") AS "time",
        arrayJoin(
          [
            CASE
              WHEN CASE
                WHEN isNull("t1"."colour")
                THEN 3
                WHEN "t1"."colour" = '__missing__'
                THEN 3
                WHEN "t1"."colour" = 'blue'
                THEN 0
                WHEN "t1"."colour" = 'it''s'
                THEN 1
                ELSE 2
              END = 2
              THEN CONCAT('2:', "t1"."colour")
              ELSE CAST(NULL AS Nullable(String))
            END
          ]
        ) AS "value"
      FROM (
        SELECT
          *
        FROM "predictions" AS "t0"
        WHERE
          "t0"."served_at" >= parseDateTimeBestEffort('2027-01-15T08:00:00')
          AND "t0"."served_at" < parseDateTimeBestEffort('2027-01-15T08:01:00')
      ) AS "t1"
    ) AS "t2"
    WHERE
      isNotNull("t2"."value")
  ) AS "t3"
  GROUP BY
    "t3"."value"
) AS "t4"
ORDER BY
  "t4"."n" DESC,
  "t4"."value" ASC
LIMIT 100000;
