SELECT
  "t1"."time",
  COUNT(*) AS "n",
  SUM("t1"."s0") AS "s0",
  SUM("t1"."s1") AS "s1",
  SUM("t1"."s3") AS "s3"
FROM (
  SELECT
    DATE_TRUNC('MINUTE', "t0"."served_at") AS "time",
    IF(
      (
        "t0"."age" IS NULL
      ) OR IS_NAN("t0"."age") OR IS_INFINITE("t0"."age"),
      CAST(0.0 AS DOUBLE),
      IF(
        "t0"."age" > CAST(1e+290 AS DOUBLE),
        CAST(1e+290 AS DOUBLE),
        IF("t0"."age" < CAST(-1E+290 AS DOUBLE), CAST(-1E+290 AS DOUBLE), "t0"."age")
      )
    ) AS "s0",
    CAST("t0"."rooms" AS DOUBLE) AS "s1",
    IF(
      (
        CAST("t0"."score" AS DOUBLE) IS NULL
      )
      OR IS_NAN(CAST("t0"."score" AS DOUBLE))
      OR IS_INFINITE(CAST("t0"."score" AS DOUBLE)),
      CAST(0.0 AS DOUBLE),
      IF(
        CAST("t0"."score" AS DOUBLE) > CAST(1e+290 AS DOUBLE),
        CAST(1e+290 AS DOUBLE),
        IF(
          CAST("t0"."score" AS DOUBLE) < CAST(-1E+290 AS DOUBLE),
          CAST(-1E+290 AS DOUBLE),
          CAST("t0"."score" AS DOUBLE)
        )
      )
    ) AS "s3"
  FROM "predictions" AS "t0"
  WHERE
    "t0"."served_at" >= CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:00:00') AS TIMESTAMP)
    AND "t0"."served_at" < CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:01:00') AS TIMESTAMP)
) AS "t1"
GROUP BY
  1;

SELECT
  "t2"."time",
  "t2"."bin",
  COUNT(*) AS "n"
FROM (
  SELECT
    DATE_TRUNC('MINUTE', "t1"."served_at") AS "time",
    IF(_u.pos = _u_2.pos_2, _u_2."bin") AS "bin"
  FROM (
    SELECT
      *
    FROM "predictions" AS "t0"
    WHERE
      "t0"."served_at" >= CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:00:00') AS TIMESTAMP)
      AND "t0"."served_at" < CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:01:00') AS TIMESTAMP)
  ) AS "t1"
  CROSS JOIN UNNEST(SEQUENCE(
    1,
    GREATEST(
      CARDINALITY(
        ARRAY[CASE
          WHEN (
            "t1"."age" IS NULL
          ) OR IS_NAN("t1"."age")
          THEN 3
          WHEN IS_INFINITE("t1"."age")
          THEN 4
          ELSE IF(
            "t1"."age" <= CAST('0.1' AS DOUBLE),
            0,
            IF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
          )
        END, IF(
          CAST("t1"."rooms" AS DOUBLE) IS NULL,
          9,
          IF(
            CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
          )
        ), CASE
          WHEN "t1"."colour" IS NULL
          THEN 14
          WHEN "t1"."colour" = '__missing__'
          THEN 14
          WHEN "t1"."colour" = 'blue'
          THEN 11
          WHEN "t1"."colour" = 'it''s'
          THEN 12
          ELSE 13
        END, CASE
          WHEN (
            CAST("t1"."score" AS DOUBLE) IS NULL
          )
          OR IS_NAN(CAST("t1"."score" AS DOUBLE))
          THEN 17
          WHEN IS_INFINITE(CAST("t1"."score" AS DOUBLE))
          THEN 18
          ELSE IF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
        END]
      )
    )
  )) AS _u(pos)
  CROSS JOIN UNNEST(ARRAY[CASE
    WHEN (
      "t1"."age" IS NULL
    ) OR IS_NAN("t1"."age")
    THEN 3
    WHEN IS_INFINITE("t1"."age")
    THEN 4
    ELSE IF(
      "t1"."age" <= CAST('0.1' AS DOUBLE),
      0,
      IF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
    )
  END, IF(
    CAST("t1"."rooms" AS DOUBLE) IS NULL,
    9,
    IF(
      CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
      IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
      IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
    )
  ), CASE
    WHEN "t1"."colour" IS NULL
    THEN 14
    WHEN "t1"."colour" = '__missing__'
    THEN 14
    WHEN "t1"."colour" = 'blue'
    THEN 11
    WHEN "t1"."colour" = 'it''s'
    THEN 12
    ELSE 13
  END, CASE
    WHEN (
      CAST("t1"."score" AS DOUBLE) IS NULL
    )
    OR IS_NAN(CAST("t1"."score" AS DOUBLE))
    THEN 17
    WHEN IS_INFINITE(CAST("t1"."score" AS DOUBLE))
    THEN 18
    ELSE IF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
  END]) WITH ORDINALITY AS _u_2("bin", pos_2)
  WHERE
    _u.pos = _u_2.pos_2
    OR (
      _u.pos > CARDINALITY(
        ARRAY[CASE
          WHEN (
            "t1"."age" IS NULL
          ) OR IS_NAN("t1"."age")
          THEN 3
          WHEN IS_INFINITE("t1"."age")
          THEN 4
          ELSE IF(
            "t1"."age" <= CAST('0.1' AS DOUBLE),
            0,
            IF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
          )
        END, IF(
          CAST("t1"."rooms" AS DOUBLE) IS NULL,
          9,
          IF(
            CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
          )
        ), CASE
          WHEN "t1"."colour" IS NULL
          THEN 14
          WHEN "t1"."colour" = '__missing__'
          THEN 14
          WHEN "t1"."colour" = 'blue'
          THEN 11
          WHEN "t1"."colour" = 'it''s'
          THEN 12
          ELSE 13
        END, CASE
          WHEN (
            CAST("t1"."score" AS DOUBLE) IS NULL
          )
          OR IS_NAN(CAST("t1"."score" AS DOUBLE))
          THEN 17
          WHEN IS_INFINITE(CAST("t1"."score" AS DOUBLE))
          THEN 18
          ELSE IF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
        END]
      )
      AND _u_2.pos_2 = CARDINALITY(
        ARRAY[CASE
          WHEN (
            "t1"."age" IS NULL
          ) OR IS_NAN("t1"."age")
          THEN 3
          WHEN IS_INFINITE("t1"."age")
          THEN 4
          ELSE IF(
            "t1"."age" <= CAST('0.1' AS DOUBLE),
            0,
            IF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
          )
        END, IF(
          CAST("t1"."rooms" AS DOUBLE) IS NULL,
          9,
          IF(
            CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
            IF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
          )
        ), CASE
          WHEN "t1"."colour" IS NULL
          THEN 14
          WHEN "t1"."colour" = '__missing__'
          THEN 14
          WHEN "t1"."colour" = 'blue'
          THEN 11
          WHEN "t1"."colour" = 'it''s'
          THEN 12
          ELSE 13
        END, CASE
          WHEN (
            CAST("t1"."score" AS DOUBLE) IS NULL
          )
          OR IS_NAN(CAST("t1"."score" AS DOUBLE))
          THEN 17
          WHEN IS_INFINITE(CAST("t1"."score" AS DOUBLE))
          THEN 18
          ELSE IF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
        END]
      )
    )
) AS "t2"
GROUP BY
  1,
  2;

SELECT
  *
FROM (
  SELECT
    "t3"."value",
    COUNT(*) AS "n"
  FROM (
    SELECT
      *
    FROM (
      SELECT
        DATE_TRUNC('MINUTE', "t1"."served_at") AS "time",
        IF(_u.pos = _u_2.pos_2, _u_2."value") AS "value"
      FROM (
        SELECT
          *
        FROM "predictions" AS "t0"
        WHERE
          "t0"."served_at" >= CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:00:00') AS TIMESTAMP)
          AND "t0"."served_at" < CAST(FROM_ISO8601_TIMESTAMP('2027-01-15T08:01:00') AS TIMESTAMP)
      ) AS "t1"
      CROSS JOIN UNNEST(SEQUENCE(
        1,
        GREATEST(
          CARDINALITY(
            ARRAY[IF(
              CASE
                WHEN "t1"."colour" IS NULL
                THEN 3
                WHEN "t1"."colour" = '__missing__'
                THEN 3
                WHEN "t1"."colour" = 'blue'
                THEN 0
                WHEN "t1"."colour" = 'it''s'
                THEN 1
                ELSE 2
              END = 2,
              CONCAT('2:', "t1"."colour"),
              CAST(NULL AS VARCHAR)
            )]
          )
        )
      )) AS _u(pos)
      CROSS JOIN UNNEST(ARRAY[IF(
        CASE
          WHEN "t1"."colour" IS NULL
          THEN 3
          WHEN "t1"."colour" = '__missing__'
          THEN 3
          WHEN "t1"."colour" = 'blue'
          THEN 0
          WHEN "t1"."colour" = 'it''s'
          THEN 1
          ELSE 2
        END = 2,
        CONCAT('2:', "t1"."colour"),
        CAST(NULL AS VARCHAR)
      )]) WITH ORDINALITY AS _u_2("value", pos_2)
      WHERE
        _u.pos = _u_2.pos_2
        OR (
          _u.pos > CARDINALITY(
            ARRAY[IF(
              CASE
                WHEN "t1"."colour" IS NULL
                THEN 3
                WHEN "t1"."colour" = '__missing__'
                THEN 3
                WHEN "t1"."colour" = 'blue'
                THEN 0
                WHEN "t1"."colour" = 'it''s'
                THEN 1
                ELSE 2
              END = 2,
              CONCAT('2:', "t1"."colour"),
              CAST(NULL AS VARCHAR)
            )]
          )
          AND _u_2.pos_2 = CARDINALITY(
            ARRAY[IF(
              CASE
                WHEN "t1"."colour" IS NULL
                THEN 3
                WHEN "t1"."colour" = '__missing__'
                THEN 3
                WHEN "t1"."colour" = 'blue'
                THEN 0
                WHEN "t1"."colour" = 'it''s'
                THEN 1
                ELSE 2
              END = 2,
              CONCAT('2:', "t1"."colour"),
              CAST(NULL AS VARCHAR)
            )]
          )
        )
    ) AS "t2"
    WHERE
      "t2"."value" IS NOT NULL
  ) AS "t3"
  GROUP BY
    1
) AS "t4"
ORDER BY
  "t4"."n" DESC,
  "t4"."value" ASC
LIMIT 100000;
