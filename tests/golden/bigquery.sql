SELECT
  `t1`.`telltale_time` AS `time`,
  COUNT(*) AS `n`,
  SUM(
    IF(
      (
        `t1`.`age` IS NULL
      ) OR IS_NAN(`t1`.`age`) OR IS_INF(`t1`.`age`),
      0.0,
      IF(`t1`.`age` > 1e+290, 1e+290, IF(`t1`.`age` < -1E+290, -1E+290, `t1`.`age`))
    )
  ) AS `s0`,
  SUM(CAST(`t1`.`rooms` AS FLOAT64)) AS `s1`,
  SUM(
    IF(
      (
        CAST(`t1`.`score` AS FLOAT64) IS NULL
      )
      OR IS_NAN(CAST(`t1`.`score` AS FLOAT64))
      OR IS_INF(CAST(`t1`.`score` AS FLOAT64)),
      0.0,
      IF(
        CAST(`t1`.`score` AS FLOAT64) > 1e+290,
        1e+290,
        IF(CAST(`t1`.`score` AS FLOAT64) < -1E+290, -1E+290, CAST(`t1`.`score` AS FLOAT64))
      )
    )
  ) AS `s3`
FROM (
  SELECT
    `t0`.`served_at`,
    `t0`.`age`,
    `t0`.`rooms`,
    `t0`.`colour`,
    `t0`.`score`,
    TIMESTAMP_TRUNC(`t0`.`served_at`, MINUTE) AS `telltale_time`
  FROM `predictions` AS `t0`
) AS `t1`
GROUP BY
  1;

SELECT
  `t1`.`time`,
  `t1`.`bin`,
  COUNT(*) AS `n`
FROM (
  SELECT
    TIMESTAMP_TRUNC(`t0`.`served_at`, MINUTE) AS `time`,
    IF(pos = pos_2, `bin`, NULL) AS `bin`
  FROM `predictions` AS `t0`
  CROSS JOIN UNNEST(GENERATE_ARRAY(
    0,
    GREATEST(
      ARRAY_LENGTH(
        [
          CASE
            WHEN (
              `t0`.`age` IS NULL
            ) OR IS_NAN(`t0`.`age`)
            THEN 3
            WHEN IS_INF(`t0`.`age`)
            THEN 4
            ELSE IF(
              `t0`.`age` <= CAST('30.0' AS FLOAT64),
              IF(`t0`.`age` <= CAST('0.1' AS FLOAT64), 0, 1),
              2
            )
          END,
          IF(
            CAST(`t0`.`rooms` AS FLOAT64) IS NULL,
            9,
            IF(
              CAST(`t0`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
              IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
              IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
            )
          ),
          CASE
            WHEN `t0`.`colour` IS NULL
            THEN 14
            WHEN `t0`.`colour` = '__missing__'
            THEN 14
            WHEN `t0`.`colour` = 'blue'
            THEN 11
            WHEN `t0`.`colour` = 'it\'s'
            THEN 12
            ELSE 13
          END,
          CASE
            WHEN (
              CAST(`t0`.`score` AS FLOAT64) IS NULL
            )
            OR IS_NAN(CAST(`t0`.`score` AS FLOAT64))
            THEN 17
            WHEN IS_INF(CAST(`t0`.`score` AS FLOAT64))
            THEN 18
            ELSE IF(CAST(`t0`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
          END
        ]
      )
    ) - 1
  )) AS pos
  CROSS JOIN UNNEST([
    CASE
      WHEN (
        `t0`.`age` IS NULL
      ) OR IS_NAN(`t0`.`age`)
      THEN 3
      WHEN IS_INF(`t0`.`age`)
      THEN 4
      ELSE IF(
        `t0`.`age` <= CAST('30.0' AS FLOAT64),
        IF(`t0`.`age` <= CAST('0.1' AS FLOAT64), 0, 1),
        2
      )
    END,
    IF(
      CAST(`t0`.`rooms` AS FLOAT64) IS NULL,
      9,
      IF(
        CAST(`t0`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
        IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
        IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
      )
    ),
    CASE
      WHEN `t0`.`colour` IS NULL
      THEN 14
      WHEN `t0`.`colour` = '__missing__'
      THEN 14
      WHEN `t0`.`colour` = 'blue'
      THEN 11
      WHEN `t0`.`colour` = 'it\'s'
      THEN 12
      ELSE 13
    END,
    CASE
      WHEN (
        CAST(`t0`.`score` AS FLOAT64) IS NULL
      )
      OR IS_NAN(CAST(`t0`.`score` AS FLOAT64))
      THEN 17
      WHEN IS_INF(CAST(`t0`.`score` AS FLOAT64))
      THEN 18
      ELSE IF(CAST(`t0`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
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
                `t0`.`age` IS NULL
              ) OR IS_NAN(`t0`.`age`)
              THEN 3
              WHEN IS_INF(`t0`.`age`)
              THEN 4
              ELSE IF(
                `t0`.`age` <= CAST('30.0' AS FLOAT64),
                IF(`t0`.`age` <= CAST('0.1' AS FLOAT64), 0, 1),
                2
              )
            END,
            IF(
              CAST(`t0`.`rooms` AS FLOAT64) IS NULL,
              9,
              IF(
                CAST(`t0`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
                IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
                IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
              )
            ),
            CASE
              WHEN `t0`.`colour` IS NULL
              THEN 14
              WHEN `t0`.`colour` = '__missing__'
              THEN 14
              WHEN `t0`.`colour` = 'blue'
              THEN 11
              WHEN `t0`.`colour` = 'it\'s'
              THEN 12
              ELSE 13
            END,
            CASE
              WHEN (
                CAST(`t0`.`score` AS FLOAT64) IS NULL
              )
              OR IS_NAN(CAST(`t0`.`score` AS FLOAT64))
              THEN 17
              WHEN IS_INF(CAST(`t0`.`score` AS FLOAT64))
              THEN 18
              ELSE IF(CAST(`t0`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
            END
          ]
        ) - 1
      )
      AND pos_2 = (
        ARRAY_LENGTH(
          [
            CASE
              WHEN (
                `t0`.`age` IS NULL
              ) OR IS_NAN(`t0`.`age`)
              THEN 3
              WHEN IS_INF(`t0`.`age`)
              THEN 4
              ELSE IF(
                `t0`.`age` <= CAST('30.0' AS FLOAT64),
                IF(`t0`.`age` <= CAST('0.1' AS FLOAT64), 0, 1),
                2
              )
            END,
            IF(
              CAST(`t0`.`rooms` AS FLOAT64) IS NULL,
              9,
              IF(
                CAST(`t0`.`rooms` AS FLOAT64) <= CAST('2.5' AS FLOAT64),
                IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('1.5' AS FLOAT64), 5, 6),
                IF(CAST(`t0`.`rooms` AS FLOAT64) <= CAST('3.5' AS FLOAT64), 7, 8)
              )
            ),
            CASE
              WHEN `t0`.`colour` IS NULL
              THEN 14
              WHEN `t0`.`colour` = '__missing__'
              THEN 14
              WHEN `t0`.`colour` = 'blue'
              THEN 11
              WHEN `t0`.`colour` = 'it\'s'
              THEN 12
              ELSE 13
            END,
            CASE
              WHEN (
                CAST(`t0`.`score` AS FLOAT64) IS NULL
              )
              OR IS_NAN(CAST(`t0`.`score` AS FLOAT64))
              THEN 17
              WHEN IS_INF(CAST(`t0`.`score` AS FLOAT64))
              THEN 18
              ELSE IF(CAST(`t0`.`score` AS FLOAT64) <= CAST('0.5' AS FLOAT64), 15, 16)
            END
          ]
        ) - 1
      )
    )
) AS `t1`
GROUP BY
  1,
  2;

SELECT
  *
FROM (
  SELECT
    `t2`.`time`,
    `t2`.`value`,
    COUNT(*) AS `n`
  FROM (
    SELECT
      *
    FROM (
      SELECT
        TIMESTAMP_TRUNC(`t0`.`served_at`, MINUTE) AS `time`,
        IF(pos = pos_2, `value`, NULL) AS `value`
      FROM `predictions` AS `t0`
      CROSS JOIN UNNEST(GENERATE_ARRAY(
        0,
        GREATEST(
          ARRAY_LENGTH(
            [
              IF(
                CASE
                  WHEN `t0`.`colour` IS NULL
                  THEN 3
                  WHEN `t0`.`colour` = '__missing__'
                  THEN 3
                  WHEN `t0`.`colour` = 'blue'
                  THEN 0
                  WHEN `t0`.`colour` = 'it\'s'
                  THEN 1
                  ELSE 2
                END = 2,
                CONCAT('2:', `t0`.`colour`),
                CAST(NULL AS STRING)
              )
            ]
          )
        ) - 1
      )) AS pos
      CROSS JOIN UNNEST([
        IF(
          CASE
            WHEN `t0`.`colour` IS NULL
            THEN 3
            WHEN `t0`.`colour` = '__missing__'
            THEN 3
            WHEN `t0`.`colour` = 'blue'
            THEN 0
            WHEN `t0`.`colour` = 'it\'s'
            THEN 1
            ELSE 2
          END = 2,
          CONCAT('2:', `t0`.`colour`),
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
                    WHEN `t0`.`colour` IS NULL
                    THEN 3
                    WHEN `t0`.`colour` = '__missing__'
                    THEN 3
                    WHEN `t0`.`colour` = 'blue'
                    THEN 0
                    WHEN `t0`.`colour` = 'it\'s'
                    THEN 1
                    ELSE 2
                  END = 2,
                  CONCAT('2:', `t0`.`colour`),
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
                    WHEN `t0`.`colour` IS NULL
                    THEN 3
                    WHEN `t0`.`colour` = '__missing__'
                    THEN 3
                    WHEN `t0`.`colour` = 'blue'
                    THEN 0
                    WHEN `t0`.`colour` = 'it\'s'
                    THEN 1
                    ELSE 2
                  END = 2,
                  CONCAT('2:', `t0`.`colour`),
                  CAST(NULL AS STRING)
                )
              ]
            ) - 1
          )
        )
    ) AS `t1`
    WHERE
      `t1`.`value` IS NOT NULL
  ) AS `t2`
  GROUP BY
    1,
    2
) AS `t3`
ORDER BY
  `t3`.`n` DESC,
  `t3`.`value` ASC NULLS LAST,
  `t3`.`time` ASC NULLS LAST
LIMIT 100000;
