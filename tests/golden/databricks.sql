SELECT
  `t1`.`telltale_time` AS `time`,
  COUNT(*) AS `n`,
  SUM(
    IF(
      `t1`.`age` IS NULL
      OR ISNAN(`t1`.`age`)
      OR ISNAN(`t1`.`age`)
      OR (
        FALSE OR FALSE
      ),
      0.0,
      IF(`t1`.`age` > 1e+290, 1e+290, IF(`t1`.`age` < -1E+290, -1E+290, `t1`.`age`))
    )
  ) AS `s0`,
  SUM(CAST(`t1`.`rooms` AS DOUBLE)) AS `s1`,
  SUM(
    IF(
      CAST(`t1`.`score` AS DOUBLE) IS NULL
      OR ISNAN(CAST(`t1`.`score` AS DOUBLE))
      OR ISNAN(CAST(`t1`.`score` AS DOUBLE))
      OR (
        FALSE OR FALSE
      ),
      0.0,
      IF(
        CAST(`t1`.`score` AS DOUBLE) > 1e+290,
        1e+290,
        IF(CAST(`t1`.`score` AS DOUBLE) < -1E+290, -1E+290, CAST(`t1`.`score` AS DOUBLE))
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
    DATE_TRUNC('minute', `t0`.`served_at`) AS `telltale_time`
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
    DATE_TRUNC('minute', `t0`.`served_at`) AS `time`,
    EXPLODE(
      ARRAY(
        CASE
          WHEN `t0`.`age` IS NULL OR ISNAN(`t0`.`age`) OR ISNAN(`t0`.`age`)
          THEN 3
          WHEN FALSE OR FALSE
          THEN 4
          ELSE IF(
            `t0`.`age` <= CAST('30.0' AS DOUBLE),
            IF(`t0`.`age` <= CAST('0.1' AS DOUBLE), 0, 1),
            2
          )
        END,
        IF(
          CAST(`t0`.`rooms` AS DOUBLE) IS NULL OR ISNAN(CAST(`t0`.`rooms` AS DOUBLE)),
          9,
          IF(
            CAST(`t0`.`rooms` AS DOUBLE) <= CAST('2.5' AS DOUBLE),
            IF(CAST(`t0`.`rooms` AS DOUBLE) <= CAST('1.5' AS DOUBLE), 5, 6),
            IF(CAST(`t0`.`rooms` AS DOUBLE) <= CAST('3.5' AS DOUBLE), 7, 8)
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
          WHEN CAST(`t0`.`score` AS DOUBLE) IS NULL
          OR ISNAN(CAST(`t0`.`score` AS DOUBLE))
          OR ISNAN(CAST(`t0`.`score` AS DOUBLE))
          THEN 17
          WHEN FALSE OR FALSE
          THEN 18
          ELSE IF(CAST(`t0`.`score` AS DOUBLE) <= CAST('0.5' AS DOUBLE), 15, 16)
        END
      )
    ) AS `bin`
  FROM `predictions` AS `t0`
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
        DATE_TRUNC('minute', `t0`.`served_at`) AS `time`,
        EXPLODE(
          ARRAY(
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
          )
        ) AS `value`
      FROM `predictions` AS `t0`
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
