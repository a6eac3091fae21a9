SELECT
  "t1"."telltale_time" AS "time",
  COUNT(*) AS "n",
  SUM(
    IFF(
      (
        "t1"."age" IS NULL
      )
      OR (
        "t1"."age" = CAST('NaN' AS DOUBLE)
      )
      OR "t1"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE)),
      0.0,
      IFF("t1"."age" > 1e+290, 1e+290, IFF("t1"."age" < -1E+290, -1E+290, "t1"."age"))
    )
  ) AS "s0",
  SUM(CAST("t1"."rooms" AS DOUBLE)) AS "s1",
  SUM(
    IFF(
      (
        CAST("t1"."score" AS DOUBLE) IS NULL
      )
      OR (
        CAST("t1"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
      )
      OR CAST("t1"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE)),
      0.0,
      IFF(
        CAST("t1"."score" AS DOUBLE) > 1e+290,
        1e+290,
        IFF(CAST("t1"."score" AS DOUBLE) < -1E+290, -1E+290, CAST("t1"."score" AS DOUBLE))
      )
    )
  ) AS "s3"
FROM (
  SELECT
    "t0"."served_at",
    "t0"."age",
    "t0"."rooms",
    "t0"."colour",
    "t0"."score",
    DATE_TRUNC('MINUTE', "t0"."served_at") AS "telltale_time"
  FROM "predictions" AS "t0"
) AS "t1"
GROUP BY
  1;

SELECT
  "t1"."time",
  "t1"."bin",
  COUNT(*) AS "n"
FROM (
  SELECT
    DATE_TRUNC('MINUTE', "t0"."served_at") AS "time",
    CAST(NULLIF(IFF(_u.pos = _u_2.pos_2, _u_2."bin", NULL), '') AS INT) AS "bin"
  FROM "predictions" AS "t0"
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
                      "t0"."age" IS NULL
                    ) OR (
                      "t0"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t0"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t0"."age" <= CAST('30.0' AS DOUBLE),
                      IFF("t0"."age" <= CAST('0.1' AS DOUBLE), 0, 1),
                      2
                    )
                  END,
                  IFF(
                    CAST("t0"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t0"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t0"."colour" IS NULL
                    THEN 14
                    WHEN "t0"."colour" = '__missing__'
                    THEN 14
                    WHEN "t0"."colour" = 'blue'
                    THEN 11
                    WHEN "t0"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t0"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t0"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t0"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t0"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              '5e99be011a514e788c69dd1030a10157'
            ),
            '5e99be011a514e788c69dd1030a10157'
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
              "t0"."age" IS NULL
            ) OR (
              "t0"."age" = CAST('NaN' AS DOUBLE)
            )
            THEN 3
            WHEN "t0"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
            THEN 4
            ELSE IFF(
              "t0"."age" <= CAST('30.0' AS DOUBLE),
              IFF("t0"."age" <= CAST('0.1' AS DOUBLE), 0, 1),
              2
            )
          END,
          IFF(
            CAST("t0"."rooms" AS DOUBLE) IS NULL,
            9,
            IFF(
              CAST("t0"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
              IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
              IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
            )
          ),
          CASE
            WHEN "t0"."colour" IS NULL
            THEN 14
            WHEN "t0"."colour" = '__missing__'
            THEN 14
            WHEN "t0"."colour" = 'blue'
            THEN 11
            WHEN "t0"."colour" = 'it\'s'
            THEN 12
            ELSE 13
          END,
          CASE
            WHEN (
              CAST("t0"."score" AS DOUBLE) IS NULL
            )
            OR (
              CAST("t0"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
            )
            THEN 17
            WHEN CAST("t0"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
            THEN 18
            ELSE IFF(CAST("t0"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
          END
        ],
        []
      ),
      '5e99be011a514e788c69dd1030a10157'
    ),
    '5e99be011a514e788c69dd1030a10157'
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
                      "t0"."age" IS NULL
                    ) OR (
                      "t0"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t0"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t0"."age" <= CAST('30.0' AS DOUBLE),
                      IFF("t0"."age" <= CAST('0.1' AS DOUBLE), 0, 1),
                      2
                    )
                  END,
                  IFF(
                    CAST("t0"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t0"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t0"."colour" IS NULL
                    THEN 14
                    WHEN "t0"."colour" = '__missing__'
                    THEN 14
                    WHEN "t0"."colour" = 'blue'
                    THEN 11
                    WHEN "t0"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t0"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t0"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t0"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t0"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              '5e99be011a514e788c69dd1030a10157'
            ),
            '5e99be011a514e788c69dd1030a10157'
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
                      "t0"."age" IS NULL
                    ) OR (
                      "t0"."age" = CAST('NaN' AS DOUBLE)
                    )
                    THEN 3
                    WHEN "t0"."age" IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 4
                    ELSE IFF(
                      "t0"."age" <= CAST('30.0' AS DOUBLE),
                      IFF("t0"."age" <= CAST('0.1' AS DOUBLE), 0, 1),
                      2
                    )
                  END,
                  IFF(
                    CAST("t0"."rooms" AS DOUBLE) IS NULL,
                    9,
                    IFF(
                      CAST("t0"."rooms" AS DOUBLE) <= CAST('2.5' AS DOUBLE),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
                      IFF(CAST("t0"."rooms" AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
                    )
                  ),
                  CASE
                    WHEN "t0"."colour" IS NULL
                    THEN 14
                    WHEN "t0"."colour" = '__missing__'
                    THEN 14
                    WHEN "t0"."colour" = 'blue'
                    THEN 11
                    WHEN "t0"."colour" = 'it\'s'
                    THEN 12
                    ELSE 13
                  END,
                  CASE
                    WHEN (
                      CAST("t0"."score" AS DOUBLE) IS NULL
                    )
                    OR (
                      CAST("t0"."score" AS DOUBLE) = CAST('NaN' AS DOUBLE)
                    )
                    THEN 17
                    WHEN CAST("t0"."score" AS DOUBLE) IN (CAST('Inf' AS DOUBLE), CAST('-Inf' AS DOUBLE))
                    THEN 18
                    ELSE IFF(CAST("t0"."score" AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
                  END
                ],
                []
              ),
              '5e99be011a514e788c69dd1030a10157'
            ),
            '5e99be011a514e788c69dd1030a10157'
          )
        ) - 1
      )
    )
) AS "t1"
GROUP BY
  1,
  2;

SELECT
  *
FROM (
  SELECT
    "t2"."time",
    "t2"."value",
    COUNT(*) AS "n"
  FROM (
    SELECT
      *
    FROM (
      SELECT
        DATE_TRUNC('MINUTE', "t0"."served_at") AS "time",
        CAST(NULLIF(IFF(_u.pos = _u_2.pos_2, _u_2."value", NULL), '') AS VARCHAR) AS "value"
      FROM "predictions" AS "t0"
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
                          WHEN "t0"."colour" IS NULL
                          THEN 3
                          WHEN "t0"."colour" = '__missing__'
                          THEN 3
                          WHEN "t0"."colour" = 'blue'
                          THEN 0
                          WHEN "t0"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t0"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  '48fa785c40f143f48364ba4f5a81ba7a'
                ),
                '48fa785c40f143f48364ba4f5a81ba7a'
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
                  WHEN "t0"."colour" IS NULL
                  THEN 3
                  WHEN "t0"."colour" = '__missing__'
                  THEN 3
                  WHEN "t0"."colour" = 'blue'
                  THEN 0
                  WHEN "t0"."colour" = 'it\'s'
                  THEN 1
                  ELSE 2
                END = 2,
                CONCAT('2:', "t0"."colour"),
                CAST(NULL AS VARCHAR)
              )
            ],
            []
          ),
          '48fa785c40f143f48364ba4f5a81ba7a'
        ),
        '48fa785c40f143f48364ba4f5a81ba7a'
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
                          WHEN "t0"."colour" IS NULL
                          THEN 3
                          WHEN "t0"."colour" = '__missing__'
                          THEN 3
                          WHEN "t0"."colour" = 'blue'
                          THEN 0
                          WHEN "t0"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t0"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  '48fa785c40f143f48364ba4f5a81ba7a'
                ),
                '48fa785c40f143f48364ba4f5a81ba7a'
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
                          WHEN "t0"."colour" IS NULL
                          THEN 3
                          WHEN "t0"."colour" = '__missing__'
                          THEN 3
                          WHEN "t0"."colour" = 'blue'
                          THEN 0
                          WHEN "t0"."colour" = 'it\'s'
                          THEN 1
                          ELSE 2
                        END = 2,
                        CONCAT('2:', "t0"."colour"),
                        CAST(NULL AS VARCHAR)
                      )
                    ],
                    []
                  ),
                  '48fa785c40f143f48364ba4f5a81ba7a'
                ),
                '48fa785c40f143f48364ba4f5a81ba7a'
              )
            ) - 1
          )
        )
    ) AS "t1"
    WHERE
      "t1"."value" IS NOT NULL
  ) AS "t2"
  GROUP BY
    1,
    2
) AS "t3"
ORDER BY
  "t3"."n" DESC NULLS LAST,
  "t3"."value" ASC,
  "t3"."time" ASC
LIMIT 100000;
