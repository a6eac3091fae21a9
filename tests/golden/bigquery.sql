SELECT
  `t1`.`time`,
  COUNT(*) AS `n`,
  SUM(`t1`.`s0`) AS `s0`,
  SUM(`t1`.`s1`) AS `s1`,
  SUM(`t1`.`s3`) AS `s3`
FROM (
  SELECT
    TIMESTAMP_TRUNC(`t0`.`served_at`, MINUTE) AS `time`,
    IF(
      (
        `t0`.`age` IS NULL
      ) OR IS_NAN(`t0`.`age`) OR IS_INF(`t0`.`age`),
      0.0,
      IF(`t0`.`age` > 1e+290, 1e+290, IF(`t0`.`age` < -1E+290, -1E+290, `t0`.`age`))
    ) AS `s0`,
    CAST(`t0`.`rooms` AS FLOAT64) AS `s1`,
    IF(
      (
        CAST(`t0`.`score` AS FLOAT64) IS NULL
      )
      OR IS_NAN(CAST(`t0`.`score` AS FLOAT64))
      OR IS_INF(CAST(`t0`.`score` AS FLOAT64)),
      0.0,
      IF(
        CAST(`t0`.`score` AS FLOAT64) > 1e+290,
        1e+290,
        IF(CAST(`t0`.`score` AS FLOAT64) < -1E+290, -1E+290, CAST(`t0`.`score` AS FLOAT64))
      )
    ) AS `s3`
  FROM `predictions` AS `t0`
  WHERE
    `t0`.`served_at` >= DATETIME('2027-01-15T08:00:00')
    AND `t0`.`served_at` < DATETIME('2027-01-15T08:01:00')
) AS `t1`
GROUP BY
  1;

SELECT
  `t2`.`time`,
  `t2`.`bin`,
  COUNT(*) AS `n`
FROM (
  SELECT
    TIMESTAMP_TRUNC(`t1`.`served_at`, MINUTE) AS `time`,
    IF(pos = pos_2, `bin`, NULL) AS `bin`
  FROM (
    SELECT
      *
    FROM `predictions` AS `t0`
    WHERE
      `t0`.`served_at` >= DATETIME('2027-01-15T08:00:00')
      AND `t0`.`served_at` < DATETIME('2027-01-15T08:01:00')
  ) AS `t1`
  CROSS JOIN UNNEST(GENERATE_ARRAY(
    0,
    GREATEST(
      ARRAY_LENGTH(
        [
          CASE
            WHEN (
              `t1`.`age` IS NULL
            ) OR IS_NAN(`t1`.`age`)
            THEN 3
            WHEN IS_INF(`t1`.`age`)
            THEN 4
            ELSE IF(
              `t1`.`age` <= CAST('0.1' AS FLOAT64),
              0,
              IF(`t1`.`age` <= CAST('30.0' AS FLOAT64), 1, 2)
            )
          END,
          IF(
            CAST(`t1`.`rooms` AS FLOAT64) IS NULL,
            9,
            IF(
              CAST(`t1`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
              IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
              IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
            )
          ),
          CASE
            WHEN `t1`.`colour` IS NULL
            THEN 14
            WHEN `t1`.`colour` = '__missing__'
            THEN 14
            WHEN `t1`.`colour` = 'blue'
            THEN 11
            WHEN `t1`.`colour` = 'it\'s'
            THEN 12
            ELSE 13
          END,
          CASE
            WHEN (
              CAST(`t1`.`score` AS FLOAT64) IS NULL
            )
            OR IS_NAN(CAST(`t1`.`score` AS FLOAT64))
            THEN 17
            WHEN IS_INF(CAST(`t1`.`score` AS FLOAT64))
            THEN 18
            ELSE IF(CAST(`t1`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
          END
        ]
      )
    ) - 1
  )) AS pos
  CROSS JOIN UNNEST([
    CASE
      WHEN (
        `t1`.`age` IS NULL
      ) OR IS_NAN(`t1`.`age`)
      THEN 3
      WHEN IS_INF(`t1`.`age`)
      THEN 4
      ELSE IF(
        `t1`.`age` <= CAST('0.1' AS FLOAT64),
        0,
        IF(`t1`.`age` <= CAST('30.0' AS FLOAT64), 1, 2)
      )
    END,
    IF(
      CAST(`t1`.`rooms` AS FLOAT64) IS NULL,
      9,
      IF(
        CAST(`t1`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
        IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
        IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
      )
    ),
    CASE
      WHEN `t1`.`colour` IS NULL
      THEN 14
      WHEN `t1`.`colour` = '__missing__'
      THEN 14
      WHEN `t1`.`colour` = 'blue'
      THEN 11
      WHEN `t1`.`colour` = 'it\'s'
      THEN 12
      ELSE 13
    END,
    CASE
      WHEN (
        CAST(`t1`.`score` AS FLOAT64) IS NULL
      )
      OR IS_NAN(CAST(`t1`.`score` AS FLOAT64))
      THEN 17
      WHEN IS_INF(CAST(`t1`.`score` AS FLOAT64))
      THEN 18
      ELSE IF(CAST(`t1`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
    END
  ]) AS `bin` WITH OFFSET AS pos_2
  WHERE
    pos = pos_2
    OR (
      pos > (
        ARRAY_LENGTH(
          [
            CASE
              WHEN (
                `t1`.`age` IS NULL
              ) OR IS_NAN(`t1`.`age`)
              THEN 3
              WHEN IS_INF(`t1`.`age`)
              THEN 4
              ELSE IF(
                `t1`.`age` <= CAST('0.1' AS FLOAT64),
                0,
                IF(`t1`.`age` <= CAST('30.0' AS FLOAT64), 1, 2)
              )
            END,
            IF(
              CAST(`t1`.`rooms` AS FLOAT64) IS NULL,
              9,
              IF(
                CAST(`t1`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
                IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
                IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
              )
            ),
            CASE
              WHEN `t1`.`colour` IS NULL
              THEN 14
              WHEN `t1`.`colour` = '__missing__'
              THEN 14
              WHEN `t1`.`colour` = 'blue'
              THEN 11
              WHEN `t1`.`colour` = 'it\'s'
              THEN 12
              ELSE 13
            END,
            CASE
              WHEN (
                CAST(`t1`.`score` AS FLOAT64) IS NULL
              )
              OR IS_NAN(CAST(`t1`.`score` AS FLOAT64))
              THEN 17
              WHEN IS_INF(CAST(`t1`.`score` AS FLOAT64))
              THEN 18
              ELSE IF(CAST(`t1`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
            END
          ]
        ) - 1
      )
      AND pos_2 = (
        ARRAY_LENGTH(
          [
            CASE
              WHEN (
                `t1`.`age` IS NULL
              ) OR IS_NAN(`t1`.`age`)
              THEN 3
              WHEN IS_INF(`t1`.`age`)
              THEN 4
              ELSE IF(
                `t1`.`age` <= CAST('0.1' AS FLOAT64),
                0,
                IF(`t1`.`age` <= CAST('30.0' AS FLOAT64), 1, 2)
              )
            END,
            IF(
              CAST(`t1`.`rooms` AS FLOAT64) IS NULL,
              9,
              IF(
                CAST(`t1`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
                IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
                IF(CAST(`t1`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
              )
            ),
            CASE
              WHEN `t1`.`colour` IS NULL
              THEN 14
              WHEN `t1`.`colour` = '__missing__'
              THEN 14
              WHEN `t1`.`colour` = 'blue'
              THEN 11
              WHEN `t1`.`colour` = 'it\'s'
              THEN 12
              ELSE 13
            END,
            CASE
              WHEN (
                CAST(`t1`.`score` AS FLOAT64) IS NULL
              )
              OR IS_NAN(CAST(`t1`.`score` AS FLOAT64))
              THEN 17
              WHEN IS_INF(CAST(`t1`.`score` AS FLOAT64))
              THEN 18
              ELSE IF(CAST(`t1`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
            END
          ]
        ) - 1
      )
    )
) AS `t2`
GROUP BY
  1,
  2;

SELECT
  *
FROM (
  SELECT
    `t3`.`value`,
    COUNT(*) AS `n`
  FROM (
    SELECT
      *
    FROM (
      SELECT
        TIMESTAMP_TRUNC(`t1`.`served_at`, MINUTE) AS `time`,
        IF(pos = pos_2, `value`, NULL) AS `value`
      FROM (
        SELECT
          *
        FROM `predictions` AS `t0`
        WHERE
          `t0`.`served_at` >= DATETIME('2027-01-15T08:00:00')
          AND `t0`.`served_at` < DATETIME('2027-01-15T08:01:00')
      ) AS `t1`
      CROSS JOIN UNNEST(GENERATE_ARRAY(
        0,
        GREATEST(
          ARRAY_LENGTH(
            [
              IF(
                CASE
                  WHEN `t1`.`colour` IS NULL
                  THEN 3
                  WHEN `t1`.`colour` = '__missing__'
                  THEN 3
                  WHEN `t1`.`colour` = 'blue'
                  THEN 0
                  WHEN `t1`.`colour` = 'it\'s'
                  THEN 1
                  ELSE 2
                END = 2,
                CONCAT('2:', `t1`.`colour`),
                CAST(NULL AS STRING)
              )
            ]
          )
        ) - 1
      )) AS pos
      CROSS JOIN UNNEST([
        IF(
          CASE
            WHEN `t1`.`colour` IS NULL
            THEN 3
            WHEN `t1`.`colour` = '__missing__'
            THEN 3
            WHEN `t1`.`colour` = 'blue'
            THEN 0
            WHEN `t1`.`colour` = 'it\'s'
            THEN 1
            ELSE 2
          END = 2,
          CONCAT('2:', `t1`.`colour`),
          CAST(NULL AS STRING)
        )
      ]) AS `value` WITH OFFSET AS pos_2
      WHERE
        pos = pos_2
        OR (
          pos > (
            ARRAY_LENGTH(
              [
                IF(
                  CASE
                    WHEN `t1`.`colour` IS NULL
                    THEN 3
                    WHEN `t1`.`colour` = '__missing__'
                    THEN 3
                    WHEN `t1`.`colour` = 'blue'
                    THEN 0
                    WHEN `t1`.`colour` = 'it\'s'
                    THEN 1
                    ELSE 2
                  END = 2,
                  CONCAT('2:', `t1`.`colour`),
                  CAST(NULL AS STRING)
                )
              ]
            ) - 1
          )
          AND pos_2 = (
            ARRAY_LENGTH(
              [
                IF(
                  CASE
                    WHEN `t1`.`colour` IS NULL
                    THEN 3
                    WHEN `t1`.`colour` = '__missing__'
                    THEN 3
                    WHEN `t1`.`colour` = 'blue'
                    THEN 0
                    WHEN `t1`.`colour` = 'it\'s'
                    THEN 1
                    ELSE 2
                  END = 2,
                  CONCAT('2:', `t1`.`colour`),
                  CAST(NULL AS STRING)
                )
              ]
            ) - 1
          )
        )
    ) AS `t2`
    WHERE
      `t2`.`value` IS NOT NULL
  ) AS `t3`
  GROUP BY
    1
) AS `t4`
ORDER BY
  `t4`.`n` DESC,
  `t4`.`value` ASC NULLS LAST
LIMIT 100000;
