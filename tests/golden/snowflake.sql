SELECT
  "t1"."time",
  COUNT(*) AS "n",
  SUM("t1"."s0") AS "s0",
  SUM("t1"."s1") AS "s1",
  SUM("t1"."s3") AS "s3"
FROM (
  SELECT
    DATE_TRUNC('MINUTE', "t0"."served_at") AS "time",
    IFF(
      (
        "t0"."age" IS NULL
      )
      OR (
        "t0"."age" = CAST('NaN' AS DOUBLE)
      )
      OR "t0"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE)),
      0.0,
      IFF("t0"."age" > 1e+290, 1e+290, IFF("t0"."age" < -1E+290, -1E+290, "t0"."age"))
    ) AS "s0",
    CAST("t0"."rooms" AS DOUBLE) AS "s1",
    IFF(
      (
        CAST("t0"."score" AS DOUBLE) IS NULL
      )
      OR (
        CAST("t0"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
      )
      OR CAST("t0"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE)),
      0.0,
      IFF(
        CAST("t0"."score" AS DOUBLE) > 1e+290,
        1e+290,
        IFF(CAST("t0"."score" AS DOUBLE) < -1E+290, -1E+290, CAST("t0"."score" AS DOUBLE))
      )
    ) AS "s3"
  FROM "predictions" AS "t0"
  WHERE
    "t0"."served_at" >= TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 0, 0, 0)
    AND "t0"."served_at" < TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 1, 0, 0)
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
    CAST(NULLIF(IFF(_u.pos = _u_2.pos_2, _u_2."bin", NULL), '') AS INT) AS "bin"
  FROM (
    SELECT
      *
    FROM "predictions" AS "t0"
    WHERE
      "t0"."served_at" >= TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 0, 0, 0)
      AND "t0"."served_at" < TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 1, 0, 0)
  ) AS "t1"
  CROSS JOIN TABLE(FLATTEN(INPUT => ARRAY_GENERATE_RANGE(
    0,
    (
      GREATEST(
        ARRAY_SIZE(
          SPLIT(
            ARRAY_TO_STRING(
              NULLIF(
                [
                  CASE
                    WHEN (
                      "t1"."age" IS NULL
                    ) OR (
                      "t1"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t1"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t1"."age" <= CAST('0.1' AS DOUBLE),
                      0,
                      IFF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
                    )
                  END,
                  IFF(
                    CAST("t1"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t1"."colour" IS NULL
                    THEN 14
                    WHEN "t1"."colour" = '__missing__'
                    THEN 14
                    WHEN "t1"."colour" = 'blue'
                    THEN 11
                    WHEN "t1"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t1"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t1"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t1"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              'X'
            ),
            'X'
          )
        )
      ) - 1
    ) + 1
  ))) AS _u(seq, key, path, index, pos, this)
  CROSS JOIN TABLE(FLATTEN(INPUT => SPLIT(
    ARRAY_TO_STRING(
      NULLIF(
        [
          CASE
            WHEN (
              "t1"."age" IS NULL
            ) OR (
              "t1"."age" = CAST('NaN' AS DOUBLE)
            )
            THEN 3
            WHEN "t1"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
            THEN 4
            ELSE IFF(
              "t1"."age" <= CAST('0.1' AS DOUBLE),
              0,
              IFF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
            )
          END,
          IFF(
            CAST("t1"."rooms" AS DOUBLE) IS NULL,
            9,
            IFF(
              CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
              IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
              IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
            )
          ),
          CASE
            WHEN "t1"."colour" IS NULL
            THEN 14
            WHEN "t1"."colour" = '__missing__'
            THEN 14
            WHEN "t1"."colour" = 'blue'
            THEN 11
            WHEN "t1"."colour" = 'it\'s'
            THEN 12
            ELSE 13
          END,
          CASE
            WHEN (
              CAST("t1"."score" AS DOUBLE) IS NULL
            )
            OR (
              CAST("t1"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
            )
            THEN 17
            WHEN CAST("t1"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
            THEN 18
            ELSE IFF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
          END
        ],
        []
      ),
      'X'
    ),
    'X'
  ))) AS _u_2(seq, key, path, pos_2, "bin", this)
  WHERE
    _u.pos = _u_2.pos_2
    OR (
      _u.pos > (
        ARRAY_SIZE(
          SPLIT(
            ARRAY_TO_STRING(
              NULLIF(
                [
                  CASE
                    WHEN (
                      "t1"."age" IS NULL
                    ) OR (
                      "t1"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t1"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t1"."age" <= CAST('0.1' AS DOUBLE),
                      0,
                      IFF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
                    )
                  END,
                  IFF(
                    CAST("t1"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t1"."colour" IS NULL
                    THEN 14
                    WHEN "t1"."colour" = '__missing__'
                    THEN 14
                    WHEN "t1"."colour" = 'blue'
                    THEN 11
                    WHEN "t1"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t1"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t1"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t1"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              'X'
            ),
            'X'
          )
        ) - 1
      )
      AND _u_2.pos_2 = (
        ARRAY_SIZE(
          SPLIT(
            ARRAY_TO_STRING(
              NULLIF(
                [
                  CASE
                    WHEN (
                      "t1"."age" IS NULL
                    ) OR (
                      "t1"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t1"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t1"."age" <= CAST('0.1' AS DOUBLE),
                      0,
                      IFF("t1"."age" <= CAST('30.0' AS DOUBLE), 1, 2)
                    )
                  END,
                  IFF(
                    CAST("t1"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t1"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t1"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t1"."colour" IS NULL
                    THEN 14
                    WHEN "t1"."colour" = '__missing__'
                    THEN 14
                    WHEN "t1"."colour" = 'blue'
                    THEN 11
                    WHEN "t1"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t1"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t1"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t1"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t1"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              'X'
            ),
            'X'
          )
        ) - 1
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
        CAST(NULLIF(IFF(_u.pos = _u_2.pos_2, _u_2."value", NULL), '') AS VARCHAR) AS "value"
      FROM (
        SELECT
          *
        FROM "predictions" AS "t0"
        WHERE
          "t0"."served_at" >= TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 0, 0, 0)
          AND "t0"."served_at" < TIMESTAMP_FROM_PARTS(2027, 1, 15, 8, 1, 0, 0)
      ) AS "t1"
      CROSS JOIN TABLE(FLATTEN(INPUT => ARRAY_GENERATE_RANGE(
        0,
        (
          GREATEST(
            ARRAY_SIZE(
              SPLIT(
                ARRAY_TO_STRING(
                  NULLIF(
                    [
                      IFF(
                        CASE
                          WHEN "t1"."colour" IS NULL
                          THEN 3
                          WHEN "t1"."colour" = '__missing__'
                          THEN 3
                          WHEN "t1"."colour" = 'blue'
                          THEN 0
                          WHEN "t1"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t1"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  'X'
                ),
                'X'
              )
            )
          ) - 1
        ) + 1
      ))) AS _u(seq, key, path, index, pos, this)
      CROSS JOIN TABLE(FLATTEN(INPUT => SPLIT(
        ARRAY_TO_STRING(
          NULLIF(
            [
              IFF(
                CASE
                  WHEN "t1"."colour" IS NULL
                  THEN 3
                  WHEN "t1"."colour" = '__missing__'
                  THEN 3
                  WHEN "t1"."colour" = 'blue'
                  THEN 0
                  WHEN "t1"."colour" = 'it\'s'
                  THEN 1
                  ELSE 2
                END = 2,
                CONCAT('2:', "t1"."colour"),
                CAST(NULL AS VARCHAR)
              )
            ],
            []
          ),
          'X'
        ),
        'X'
      ))) AS _u_2(seq, key, path, pos_2, "value", this)
      WHERE
        _u.pos = _u_2.pos_2
        OR (
          _u.pos > (
            ARRAY_SIZE(
              SPLIT(
                ARRAY_TO_STRING(
                  NULLIF(
                    [
                      IFF(
                        CASE
                          WHEN "t1"."colour" IS NULL
                          THEN 3
                          WHEN "t1"."colour" = '__missing__'
                          THEN 3
                          WHEN "t1"."colour" = 'blue'
                          THEN 0
                          WHEN "t1"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t1"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  'X'
                ),
                'X'
              )
            ) - 1
          )
          AND _u_2.pos_2 = (
            ARRAY_SIZE(
              SPLIT(
                ARRAY_TO_STRING(
                  NULLIF(
                    [
                      IFF(
                        CASE
                          WHEN "t1"."colour" IS NULL
                          THEN 3
                          WHEN "t1"."colour" = '__missing__'
                          THEN 3
                          WHEN "t1"."colour" = 'blue'
                          THEN 0
                          WHEN "t1"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t1"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  'X'
                ),
                'X'
              )
            ) - 1
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
  "t4"."n" DESC NULLS LAST,
  "t4"."value" ASC
LIMIT 100000;
